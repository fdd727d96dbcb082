"use strict";
(() => {
  const read = (name) => JSON.parse(document.getElementById(name).textContent);
  const specs = read("specs");
  const structures = read("structures");

  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  tip.setAttribute("aria-hidden", "true");
  document.body.append(tip);

  const lineOf = (title, value) => {
    const line = document.createElement("div");
    const name = document.createElement("span");
    name.textContent = `${title} `;
    const figure = document.createElement("b");
    figure.textContent = value;
    line.append(name, figure);
    return line;
  };

  const imageOf = (svg) => {
    const image = document.createElement("img");
    image.src = `data:image/svg+xml,${encodeURIComponent(svg)}`;
    image.alt = "";
    return image;
  };

  // Values from data become text, never markup.
  const showTip = (_handler, event, _item, value) => {
    if (value === null || value === undefined || value === "") {
      tip.hidden = true;
      return;
    }
    const { structure, ...fields } = value;
    const lines = Object.entries(fields).map(([title, one]) => lineOf(title, String(one)));
    tip.replaceChildren(...(structures[structure] ? [imageOf(structures[structure])] : []), ...lines);
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    const left = Math.min(event.clientX + 14, window.innerWidth - box.width - 8);
    const below = event.clientY + 14;
    const top = below + box.height > window.innerHeight ? event.clientY - box.height - 14 : below;
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${Math.max(8, top)}px`;
  };
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") tip.hidden = true;
  });
  document.addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });

  const options = { actions: false, renderer: "svg", tooltip: showTip, mode: "vega-lite" };
  const draw = ([name, spec]) =>
    vegaEmbed(`#chart-${name}`, spec, options).catch((error) => {
      const place = document.getElementById(`chart-${name}`);
      place.textContent = `This chart could not be drawn (${error.message}); its numbers are below.`;
    });
  Promise.all(Object.entries(specs).map(draw)).then(() => {
    document.documentElement.dataset.drawn = "yes";
  });

  // What is folded away is printed too.
  const folded = [];
  window.addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details.print:not([open])")) {
      details.open = true;
      folded.push(details);
    }
  });
  window.addEventListener("afterprint", () => {
    for (const details of folded.splice(0)) details.open = false;
  });
})();
