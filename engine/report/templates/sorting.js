// Pressing a column title sorts the table; pressing it again reverses the order.
function setUpSorting(root = document) {
  for (const table of root.querySelectorAll("table.sortable")) {
    const titles = [...table.tHead.rows[0].cells];
    titles.forEach((title, column) => {
      title.querySelector("button")?.addEventListener("click", () => sortBy(table, titles, column));
    });
  }
}

function sortBy(table, titles, column) {
  const numeric = titles[column].classList.contains("number");
  const first = numeric ? "descending" : "ascending";
  const before = titles[column].getAttribute("aria-sort");
  const order = before === first ? (numeric ? "ascending" : "descending") : first;
  const direction = order === "ascending" ? 1 : -1;
  for (const title of titles) title.removeAttribute("aria-sort");
  titles[column].setAttribute("aria-sort", order);
  const body = table.tBodies[0];
  const keyed = [...body.rows].map((row) => ({ row, key: row.cells[column].dataset.sort }));
  keyed.sort((a, b) => {
    if (a.key === undefined || b.key === undefined) return (a.key === undefined) - (b.key === undefined); // unknown: last
    return direction * (numeric ? Number(a.key) - Number(b.key) : a.key.localeCompare(b.key, "en", { numeric: true }));
  });
  body.append(...keyed.map(({ row }) => row));
}
