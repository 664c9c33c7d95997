/** Covers as four corners `[x, y]`, clockwise from the top left, in pixels of the picture. */

const SMALLEST_TURN = 2; // what the service refuses is half of it

export const clamp = (value, least, most) => Math.min(Math.max(value, least), most);

/** Return the rectangle between two opposite corners. */
export function rectangle([x0, y0], [x1, y1]) {
  const [left, right] = [Math.min(x0, x1), Math.max(x0, x1)];
  const [top, bottom] = [Math.min(y0, y1), Math.max(y0, y1)];
  return [[left, top], [right, top], [right, bottom], [left, bottom]];
}

/** Return the part of a rectangle that lies in a picture of this size. */
export function inside(quad, size) {
  return quad.map((corner) => corner.map((value, axis) => clamp(value, 0, size[axis])));
}

/** Whether it is a quad that the service accepts: convex, with room at each corner. */
export function isConvex(quad) {
  return quad.every((corner, place) => {
    const [[x0, y0], [x1, y1]] = [quad.at(place - 1), corner];
    const [x2, y2] = quad[(place + 1) % 4];
    return (x1 - x0) * (y2 - y1) - (y1 - y0) * (x2 - x1) >= SMALLEST_TURN;
  });
}

/** Return a quad with one corner, or all of it (null), moved within the picture. */
export function moved(quad, corner, by, size) {
  if (corner !== null) {
    const place = inside([quad[corner].map((value, axis) => value + by[axis])], size)[0];
    const next = quad.map((other, number) => (number === corner ? place : other));
    return isConvex(next) ? next : quad;
  }
  const [dx, dy] = by.map((step, axis) => {
    const values = quad.map((point) => point[axis]);
    return clamp(step, -Math.min(...values), size[axis] - Math.max(...values));
  });
  return quad.map(([x, y]) => [x + dx, y + dy]);
}

export function centre(quad) {
  return [0, 1].map((axis) => quad.reduce((sum, corner) => sum + corner[axis], 0) / 4);
}

/** Return a quad as it is sent: with the tenths of a pixel that the service keeps. */
export const rounded = (quad) => quad.map((corner) => corner.map((v) => Math.round(v * 10) / 10));
