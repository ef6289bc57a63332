(() => {
  "use strict";
  const root = document.documentElement;
  root.classList.replace("no-js", "js");

  // Dark or light: the system's choice until the button is used.
  const button = document.querySelector(".theme");
  const dark = () => (root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches);
  const name = () => { button.textContent = dark() ? "Light" : "Dark"; };
  button.hidden = false;
  button.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; name(); });
  name();

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

  // Tables are sorted by their headings; what is absent stays at the end.
  const compare = (a, b) => {
    const [x, y] = [Number(a), Number(b)];
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
  };
  for (const table of document.querySelectorAll("table")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const sorter = document.createElement("button");
      sorter.type = "button";
      sorter.append(...head.childNodes);
      head.append(sorter);
      sorter.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const value = (row) => {
          const cell = row.cells[column];
          return cell.dataset.sort === undefined ? cell.textContent.trim() : cell.dataset.sort;
        };
        const rows = [...table.tBodies[0].rows];
        rows.sort((a, b) => {
          const [x, y] = [value(a), value(b)];
          if (x === "" || y === "") return (x === "") - (y === "");
          return (up ? 1 : -1) * compare(x, y);
        });
        table.tBodies[0].append(...rows);
      });
    });
  }

  // The before/after slider: two images on one stage, one clipped at the seam.
  const make = (tag, className, parent) => {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (parent) parent.append(element);
    return element;
  };
  for (const figure of document.querySelectorAll(".compare")) {
    const views = [...figure.querySelectorAll(".views img")];
    const controls = make("div", "controls");
    const stage = make("div", "stage");
    const { width, height, name: title } = figure.dataset;
    stage.style.aspectRatio = `${width} / ${height}`;
    stage.style.width = `min(100%, ${Math.round(85 * width / height)}vh, ${Math.max(640, width)}px)`;
    const right = make("img", "right", stage);
    const left = make("img", "left", stage);
    make("div", "seam", stage);
    const tags = { left: make("span", "tag l", stage), right: make("span", "tag r", stage) };
    const position = make("input", "position");
    Object.assign(position, { type: "range", min: "0", max: "100", step: "1", value: "50" });
    position.style.width = stage.style.width;
    position.setAttribute("aria-label", `Seam between left and right, ${title}`);
    const choice = (side, start) => {
      const label = make("label", "", controls);
      label.append(side === "left" ? "Left" : "Right");
      const select = make("select", "", label);
      select.dataset.side = side;
      views.forEach((view, i) => { select.add(new Option(view.dataset.label, i, false, i === start)); });
      select.addEventListener("change", show);
      return select;
    };
    const selects = {};
    function show() {
      for (const [side, image] of [["left", left], ["right", right]]) {
        const view = views[selects[side].value];
        image.src = view.src;
        image.alt = view.alt;
        tags[side].textContent = view.dataset.label;
      }
      move();
    }
    function move() {
      stage.style.setProperty("--seam", `${position.value}%`);
      position.setAttribute("aria-valuetext",
        `${position.value} % ${tags.left.textContent}, the rest ${tags.right.textContent}`);
    }
    selects.left = choice("left", 0);
    selects.right = choice("right", Math.min(1, views.length - 1));
    position.addEventListener("input", move);
    const follow = (event) => {
      const box = stage.getBoundingClientRect();
      const share = (event.clientX - box.left) / box.width;
      position.value = String(Math.round(100 * Math.min(1, Math.max(0, share))));
      move();
    };
    stage.addEventListener("pointerdown", (event) => {
      stage.setPointerCapture(event.pointerId);
      follow(event);
      position.focus({ preventScroll: true });
      event.preventDefault();
    });
    stage.addEventListener("pointermove", (event) => { if (event.buttons) follow(event); });
    figure.prepend(controls, stage, position);
    show();
  }
})();
