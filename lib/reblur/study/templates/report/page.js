(() => {
  "use strict";
  const root = document.documentElement;
  root.classList.replace("no-js", "js");
  const make = (tag, className, parent) => {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (parent) parent.append(element);
    return element;
  };

  // Dark or light: the system's choice until the button is used.
  const theme = document.querySelector(".theme");
  const dark = () => (root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches);
  const name = () => { theme.textContent = dark() ? "Light" : "Dark"; };
  theme.hidden = false;
  theme.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; name(); });
  name();

  // The code of all cells at once; of one, by its own line.
  const codes = document.querySelectorAll(".code");
  const show = document.querySelector(".show-code");
  show.hidden = codes.length === 0;
  show.addEventListener("click", () => {
    const on = root.classList.toggle("with-code");
    for (const code of codes) code.open = on;
    show.textContent = on ? "Hide the code" : "Show the code";
    show.setAttribute("aria-pressed", String(on));
  });

  // Contents: closed on small screens, the section in view marked.
  const contents = document.querySelector(".contents details");
  const wide = matchMedia("(min-width: 64rem)");
  const fold = () => { contents.open = wide.matches; };
  wide.addEventListener("change", fold);
  fold();
  const links = new Map([...document.querySelectorAll(".contents a")].map(
    (link) => [link.hash.slice(1), link]));
  for (const link of links.values()) {
    link.addEventListener("click", () => { if (!wide.matches) contents.open = false; });
  }
  const watched = [...links.keys()].map((id) => document.getElementById(id)).filter(Boolean);
  const mark = () => {
    const passed = watched.filter((part) => part.getBoundingClientRect().top < innerHeight * 0.3);
    const current = passed.length ? passed[passed.length - 1] : watched[0];
    for (const [id, link] of links) {
      if (current && id === current.id) link.setAttribute("aria-current", "location");
      else link.removeAttribute("aria-current");
    }
  };
  let waiting = false;
  addEventListener("scroll", () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; mark(); });
  }, { passive: true });
  mark();

  // Tables: sorted by their lowest headings, what is missing at the end; columns can be hidden.
  const text = (cell) => {
    const copy = cell.cloneNode(true);
    for (const part of copy.querySelectorAll("small")) part.remove();
    return copy.textContent.trim();
  };
  const value = (cell) => {
    if (cell.dataset.value !== undefined) return cell.dataset.value;
    if (cell.classList.contains("missing")) return "";
    return text(cell).replace("−", "-").replace(/^\+/, "").replace(/[\s,]/g, " ").trim();
  };
  const compare = (a, b) => {
    const [x, y] = [a, b].map((said) => (/^-?[\d.]/.test(said) ? parseFloat(said.replace(/ /g, "")) : NaN));
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
  };
  const grid = (table) => {  // the heading cells above each column, from the highest to the lowest
    const columns = [];
    [...table.tHead.rows].forEach((row, line) => {
      let column = 0;
      for (const cell of row.cells) {
        while ((columns[column] || []).length > line) column += 1;
        for (let i = 0; i < cell.colSpan; i += 1, column += 1) {
          columns[column] = columns[column] || [];
          for (let j = 0; j < cell.rowSpan; j += 1) columns[column].push(cell);
        }
      }
    });
    return columns;
  };
  for (const table of document.querySelectorAll("main table")) {
    const scroll = make("div", "scroll");
    table.replaceWith(scroll);
    scroll.append(table);
    scroll.tabIndex = 0;
    scroll.setAttribute("role", "region");
    scroll.setAttribute("aria-label", table.caption ? table.caption.textContent : "Table");
    if (!table.tHead || !table.tBodies.length) continue;
    const columns = grid(table);
    const body = table.tBodies[0];
    const regular = [...body.rows].every((row) => row.cells.length === columns.length);
    if (!regular) continue;
    const heads = columns.map((cells) => cells[cells.length - 1]);
    heads.forEach((head, column) => {
      const sorter = make("button");
      sorter.type = "button";
      sorter.append(...[...head.childNodes].filter((node) => node.nodeName !== "SMALL"));
      if (!sorter.textContent.trim()) sorter.setAttribute("aria-label", `Sort by column ${column + 1}`);
      head.prepend(sorter);
      sorter.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const rows = [...body.rows];
        rows.sort((a, b) => {
          const [x, y] = [value(a.cells[column]), value(b.cells[column])];
          if (x === "" || y === "") return (x === "") - (y === "");
          return (up ? 1 : -1) * compare(x, y);
        });
        body.append(...rows);
      });
    });
    const optional = heads.map((head) => head.dataset.hidden !== undefined);
    if (columns.length < 7 && !optional.includes(true)) continue;
    const chooser = make("details", "columns");
    const count = make("summary", "", chooser);
    const boxes = make("div", "", chooser);
    const shown = columns.map((_, column) => !optional[column]);
    const apply = () => {
      const all = new Set(columns.flat());
      for (const cell of all) {
        const spanned = columns.filter((cells, column) => shown[column] && cells.includes(cell)).length;
        cell.hidden = spanned === 0;
        if (spanned) cell.colSpan = spanned;
      }
      for (const row of body.rows) {
        [...row.cells].forEach((cell, column) => { cell.hidden = !shown[column]; });
      }
      count.textContent = `Columns: ${shown.filter(Boolean).length} of ${columns.length} shown`;
    };
    columns.forEach((cells, column) => {
      if (column === 0) return;
      const label = make("label", "", boxes);
      const box = make("input", "", label);
      box.type = "checkbox";
      box.checked = shown[column];
      label.append([...new Set(cells)].map(text).filter(Boolean).join(" · ") || `column ${column + 1}`);
      box.addEventListener("change", () => { shown[column] = box.checked; apply(); });
    });
    scroll.before(chooser);
    apply();
  }

  // A slider moves by itself (`analysis.pictures.slider`); here its seam and its sides get names.
  for (const slider of document.querySelectorAll(".slider")) {
    const position = slider.querySelector("input[type=range]");
    const choices = [...slider.querySelectorAll("select")];
    const stage = slider.querySelector("img").parentNode;
    stage.classList.add("stage");
    make("div", "seam", stage);
    const tags = choices.map((choice) => make("span", `tag ${choice.dataset.end}`, stage));
    const follow = () => {
      stage.style.setProperty("--seam", `${position.value}%`);
      choices.forEach((choice, i) => { tags[i].textContent = choice.selectedOptions[0].text; });
      position.setAttribute("aria-valuetext",
        `${position.value} % ${tags[0].textContent}, the rest ${tags[1].textContent}`);
    };
    for (const kind of ["input", "change"]) slider.addEventListener(kind, follow);
    for (const kind of ["pointerdown", "pointermove"]) stage.addEventListener(kind, follow);
    follow();
  }
})();
