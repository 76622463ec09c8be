// Names in exported files. The server does not know the name of a file, so the page adds it.

const stem = (name) => name.replace(/\.[^.]+$/, "") || name;

// "case-lesions.csv", and of a clip "case-frame-3-lesions.csv"; frames count from 1, as on the page.
export function exportName(fileName, frame, suffix) {
  return [stem(fileName), ...(frame === null ? [] : [`frame-${frame + 1}`]), suffix].join("-");
}

// A record or correction as JSON, with the file's own name and the frame's index in the file.
export function labelJson(text, fileName, frame) {
  return text
    .replace(/"image": "image-1"/, () => `"image": ${JSON.stringify(fileName)}`)
    .replace(/"frame_index": \d+/, () => `"frame_index": ${frame}`);
}

// The same for CSV, whose first columns are image and frame_index.
export function labelCsv(text, fileName, frame) {
  const quoted = `"${fileName.replaceAll('"', '""')}"`;
  return text.replace(/^image-1,\d+,/gm, () => `${quoted},${frame},`);
}

export async function labelled(kind, blob, fileName, frame) {
  const label = { json: labelJson, correction: labelJson, csv: labelCsv }[kind];
  return label ? new Blob([label(await blob.text(), fileName, frame)], { type: blob.type }) : blob;
}
