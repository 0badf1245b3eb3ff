"use strict";
// Sorting: numbers by value, texts by their letters; what is empty comes last.
function key(row, column) {
  const text = row.cells[column].dataset.value;
  const number = Number(text);
  return text === "" ? null : Number.isNaN(number) ? text.toLowerCase() : number;
}
function compare(a, b) {
  if (typeof a === typeof b) return typeof a === "string" ? a.localeCompare(b) : a - b;
  return typeof a === "number" ? -1 : 1;
}
for (const table of document.querySelectorAll("table.sortable")) {
  const headers = [...table.tHead.rows[0].cells];
  headers.forEach((header, column) => header.querySelector("button").addEventListener("click", () => {
    const sign = header.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    headers.forEach((other) => other.removeAttribute("aria-sort"));
    header.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
    const rows = [...table.tBodies[0].rows].map((row) => [key(row, column), row]);
    rows.sort(([a], [b]) => a === null || b === null ? (a === null) - (b === null) : sign * compare(a, b));
    table.tBodies[0].append(...rows.map(([, row]) => row));
  }));
}
for (const input of document.querySelectorAll("input[data-table]")) {
  const rows = [...document.getElementById(input.dataset.table).tBodies[0].rows];
  const count = document.querySelector(`output[data-count="${input.dataset.table}"]`);
  // Texts and classes, not numbers: "3" is not to find 0.83.
  const texts = rows.map((row) => [...row.cells].map((cell) => cell.dataset.value.toLowerCase())
    .filter((text) => Number.isNaN(Number(text))).join("\n"));
  const filter = () => {
    const searched = input.value.trim().toLowerCase();
    let shown = 0;
    for (const [place, row] of rows.entries()) {
      row.hidden = !texts[place].includes(searched);
      shown += !row.hidden;
    }
    count.textContent = input.value ? `${shown} of ${rows.length}` : "";
  };
  input.addEventListener("input", filter);
}
// Paper cannot be clicked.
let closed = [];
addEventListener("beforeprint", () => {
  closed = [...document.querySelectorAll("details:not([open])")];
  closed.forEach((part) => { part.open = true; });
});
addEventListener("afterprint", () => closed.forEach((part) => { part.open = false; }));
