"use strict";
// Tables of class "sortable" are sorted by a click on a heading; of the elements with "data-choice"
// inside a box of class "choose" the chosen one is shown. Without this script all of them are.
const NUMBER = /^[-+\u2212]?\d[\d,]*(\.\d+)?(e[-+]?\d+)?(?= |$)/;

function toNumber(text) {
  return Number(text.match(NUMBER)[0].replace(/,/g, "").replace("\u2212", "-"));
}

function sortRows(table, column, descending) {
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row) => ({ row, text: row.cells[column].textContent.trim() }));
  const known = rows.filter(({ text }) => text !== "-" && text !== "");
  const unknown = rows.filter(({ text }) => text === "-" || text === "");
  const numeric = known.every(({ text }) => NUMBER.test(text));
  const compare = numeric
    ? (a, b) => toNumber(a.text) - toNumber(b.text)
    : (a, b) => a.text.localeCompare(b.text, "en", { numeric: true });
  known.sort((a, b) => (descending ? compare(b, a) : compare(a, b)));
  body.append(...[...known, ...unknown].map(({ row }) => row));
}

for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.title = "sort";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const descending = head.getAttribute("aria-sort") !== "descending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      sortRows(table, column, descending);
    });
  });
}

for (const box of document.querySelectorAll(".choose")) {
  const items = [...box.querySelectorAll(":scope > [data-choice]")].map((element) => ({
    element,
    keys: JSON.parse(element.dataset.choice),
  }));
  const choices = document.createElement("div");
  choices.className = "choices";
  const selects = JSON.parse(box.dataset.names).map((name) => {
    const label = document.createElement("label");
    const select = document.createElement("select");
    label.append(`${name} `, select);
    choices.append(label);
    return select;
  });
  const update = () => {
    let left = items;
    selects.forEach((select, level) => {
      const values = [...new Set(left.map(({ keys }) => keys[level]))];
      const wanted = values.includes(select.value) ? select.value : values[0];
      select.replaceChildren(...values.map((value) => new Option(value, value)));
      select.value = wanted;
      select.disabled = values.length < 2;
      left = left.filter(({ keys }) => keys[level] === wanted);
    });
    for (const item of items) item.element.hidden = !left.includes(item);
  };
  choices.addEventListener("change", update);
  box.prepend(choices);
  update();
}
