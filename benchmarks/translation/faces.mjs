// Prints pairs of cartoon faces as JSON lines: two faces of different features in the same colours, each as a coloured
// picture and as a line drawing, all as SVG. Features and colours follow from the seed.
// `benchmarks/translation/rendered.py` makes files of them. From the folder of the repository:
//   npm install --no-save facesjs@5.0.3
//   node benchmarks/translation/faces.mjs 0 3000 | python -m benchmarks.translation.rendered --out faces3000
import { createHash } from "node:crypto";
import { faceToSvgString, generate } from "facesjs";

const [first, count] = process.argv.slice(2).map(Number);
if (!Number.isInteger(first) || !Number.isInteger(count)) {
  console.error("usage: node benchmarks/translation/faces.mjs FIRST_SEED COUNT");
  process.exit(2);
}

/** Uniform numbers in [0, 1) from a word: facesjs itself asks Math.random. */
function uniform(word) {
  let drawn = 0;
  return () => createHash("sha256").update(`${word} ${drawn++}`).digest().readUInt32BE() / 2 ** 32;
}

const hsl = (h, s, l) => {
  const channel = (n) => {
    const k = (n + h * 12) % 12;
    return l - s * Math.min(l, 1 - l) * Math.max(-1, Math.min(k - 3, 9 - k, 1));
  };
  return "#" + [0, 8, 4].map((n) => Math.round(255 * channel(n)).toString(16).padStart(2, "0")).join("");
};

/** Colours of skin, hair, clothes and background. Half of all hair is dyed. */
function colours(random, face) {
  const between = (low, high) => low + (high - low) * random();
  const dyed = random() < 0.5;
  return {
    skin: face.body.color,
    hair: dyed ? hsl(random(), between(0.3, 0.9), between(0.3, 0.7)) : face.hair.color,
    team: [0, 1, 2].map(() => hsl(random(), between(0.2, 0.9), between(0.25, 0.8))),
    background: hsl(random(), between(0.1, 0.6), between(0.6, 0.95)),
  };
}

/** A face as SVG in these colours; white everywhere is a line drawing. */
function svg(face, { skin, hair, team, background }) {
  const coloured = {
    ...face,
    teamColors: team,
    body: { ...face.body, color: skin },
    hair: { ...face.hair, color: hair },
    head: { ...face.head, shave: "rgba(0,0,0,0)" },
  };
  const [x, y, side] = SQUARE;
  return faceToSvgString(coloured)
    .replace(/viewBox="[^"]*"/, `viewBox="${x} ${y} ${side} ${side}"`)
    .replace(/(<svg[^>]*>)/, `$1<rect x="${x}" y="${y}" width="${side}" height="${side}" fill="${background}"/>`);
}

/** Left, top and side of the square that is shown of the 400 x 600 that facesjs draws. */
const SQUARE = [-40, 60, 480];
const WHITE = { skin: "#ffffff", hair: "#ffffff", team: ["#ffffff", "#ffffff", "#ffffff"], background: "#ffffff" };

for (let seed = first; seed < first + count; seed++) {
  const faces = ["a", "b"].map((which) => {
    Math.random = uniform(`${seed} ${which}`);
    return generate(undefined, { gender: Math.random() < 0.5 ? "male" : "female" });
  });
  const style = colours(uniform(`${seed} colours`), faces[0]);
  const pictures = faces.map((face) => ({ picture: svg(face, style), drawing: svg(face, WHITE) }));
  console.log(JSON.stringify({ seed, pictures }));
}
