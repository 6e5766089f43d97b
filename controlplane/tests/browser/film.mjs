// A film for Chromium's fake camera.

/**
 * What the fake camera shows: drifting waves with grain, because Chromium's
 * own fake picture is so plain that no encoder spends a rate on it.
 */
export function film(width, height, frames, rate = 30) {
  const parts = [Buffer.from(`YUV4MPEG2 W${width} H${height} F${rate}:1 Ip A1:1 C420jpeg\n`)];
  let noise = 1;
  for (let frame = 0; frame < frames; frame++) {
    const picture = Buffer.alloc(width * height * 1.5);
    const turn = (frame / frames) * 2 * Math.PI;
    for (let y = 0, at = 0; y < height; y++) {
      for (let x = 0; x < width; x++, at++) {
        noise = (noise * 1103515245 + 12345) & 0x7fffffff;
        picture[at] = 120 + 60 * Math.sin(x / 40 + turn) * Math.cos(y / 30 - turn) + ((noise >> 16) & 31);
      }
    }
    for (let y = 0, at = width * height; y < height / 2; y++) {
      for (let x = 0; x < width / 2; x++, at++) {
        picture[at] = 150 + 40 * Math.sin(x / 60 + turn);
        picture[at + width * height / 4] = 110 + 30 * Math.cos(y / 40 + turn);
      }
    }
    parts.push(Buffer.from('FRAME\n'), picture);
  }
  return Buffer.concat(parts);
}
