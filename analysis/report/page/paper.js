// On paper nothing scrolls: a table that is wider than the page is made smaller.
for (const box of document.querySelectorAll(".scroll")) {
  const table = box.querySelector("table");
  if (table && table.offsetWidth > box.clientWidth) table.style.zoom = box.clientWidth / table.offsetWidth;
}
