/* A small line chart without axes. */

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT, MARGIN] = [100, 26, 3];

/** An empty drawing. */
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
 * The corners of the line: over the whole width, with the lowest value at the bottom and the highest at the top.
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
