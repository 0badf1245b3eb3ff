// Classifies what is typed, in the page itself: nothing leaves it.
import { TextClassifier } from "./mediapipe/text_bundle.mjs";

const MAX_SHOWN = 5;
const text = document.getElementById("text");
const answer = document.getElementById("answer");
const scores = document.getElementById("scores");
const status = document.getElementById("status");

function element(tag, className, content = "") {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = content;
  return made;
}

function row(category) {
  const made = element("div", "row");
  const track = element("div", "track");
  const bar = element("div", "bar");
  bar.style.width = `${100 * category.score}%`;
  track.append(bar);
  const percent = element("span", "score", `${(100 * category.score).toFixed(1)} %`);
  made.append(element("span", "label", category.categoryName), track, percent);
  return made;
}

function show(classifier) {
  if (!text.value.trim()) {
    answer.textContent = "";
    scores.replaceChildren();
    status.textContent = "Ready.";
    return;
  }
  const start = performance.now();
  const { categories } = classifier.classify(text.value).classifications[0];
  const milliseconds = performance.now() - start;
  answer.textContent = categories[0].categoryName;
  scores.replaceChildren(...categories.slice(0, MAX_SHOWN).map(row));
  status.textContent = `${milliseconds.toFixed(1)} ms in this browser.`;
}

try {
  const classifier = await TextClassifier.createFromOptions(
    {
      wasmLoaderPath: "./mediapipe/text_wasm_internal.js",
      wasmBinaryPath: "./mediapipe/text_wasm_internal.wasm",
    },
    { baseOptions: { modelAssetPath: "./student.tflite" } },
  );
  text.addEventListener("input", () => show(classifier));
  text.disabled = false;
  text.focus();
  status.textContent = "Ready.";
} catch (error) {
  status.textContent = `The model could not be loaded: ${error.message}`;
}
