/* The small line without axes on a tile or in a hop report. */

const [WIDTH, HEIGHT, MARGIN] = [100, 26, 3]; // as the viewBox in index.html

/**
 * Draw the values from left to right.
 *
 * @param {SVGElement} drawing
 * @param {number[]} values
 */
export function drawSpark(drawing, values) {
  drawing.firstElementChild?.setAttribute("points", corners(values));
}

/**
 * The corners of the line, as an SVG `points` attribute: the lowest value at the bottom, the highest at the top.
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
