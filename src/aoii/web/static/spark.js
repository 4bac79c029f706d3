/* A small line of values without axes, as wide as its drawing. */

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT, MARGIN] = [100, 26, 3];

/** A drawing without a line. */
export function newSpark() {
  const drawing = document.createElementNS(SVG, "svg");
  drawing.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  drawing.setAttribute("preserveAspectRatio", "none");
  drawing.setAttribute("aria-hidden", "true");
  drawing.append(document.createElementNS(SVG, "polyline"));
  return drawing;
}

/**
 * Draw the values, the first at the left.
 *
 * @param {SVGElement} drawing
 * @param {number[]} values
 */
export function drawSpark(drawing, values) {
  drawing.firstElementChild?.setAttribute("points", corners(values));
}

/**
 * The corners of the line: over the whole width, from the least value at the bottom to the greatest at the top.
 *
 * @param {number[]} values
 */
export function corners(values) {
  const low = Math.min(...values);
  const height = Math.max(...values) - low || 1;
  const step = WIDTH / Math.max(1, values.length - 1);
  const room = HEIGHT - 2 * MARGIN;
  return values
    .map((value, place) => [place * step, HEIGHT - MARGIN - (room * (value - low)) / height])
    .map((corner) => corner.map((at) => at.toFixed(1)).join(","))
    .join(" ");
}
