// Light and dark, and what happens when the page is opened.

function themeButton() {
  const button = box("theme"), system = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
  const label = () => { button.textContent = dark() ? "Light" : "Dark"; };
  button.addEventListener("click", () => {
    document.documentElement.dataset.theme = dark() ? "light" : "dark";
    label();
  });
  system.addEventListener("change", label);
  label();
  button.hidden = false;
}

document.body.append(tip);
themeButton();
if (box("figure1")) {
  buildFilters();
  redraw();
}
drawInteractions();
drawSizes();
drawLatency();
drawTraining();
