"""One experiment: configuration → data → model → methods → training → artifact → scores → result.json."""
