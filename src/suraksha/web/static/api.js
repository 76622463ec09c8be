// Requests to this server. No other address is called.

export class RequestError extends Error {
  constructor(status, { what, why, fix }) {
    super(`${what[0].toUpperCase()}${what.slice(1)}: ${why}. ${fix}.`);
    this.status = status;
  }
}

const UNREACHABLE = {
  what: "the request failed",
  why: "the server is not reachable, or the file could not be read",
  fix: "Check that the server is running; folders cannot be opened",
};
const MAX_RETRIES = 5;

let token = sessionStorage.getItem("token") ?? "";
const tokenInUrl = new URLSearchParams(location.hash.slice(1)).get("token");
if (tokenInUrl) {
  setToken(tokenInUrl);
  history.replaceState(null, "", location.pathname);
}

export function setToken(text) {
  token = text.trim();
  sessionStorage.setItem("token", token);
}

async function call(path, options = {}) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  for (let attempt = 0; ; attempt++) {
    let response;
    try {
      response = await fetch(path, { ...options, headers, cache: "no-store" });
    } catch {
      throw new RequestError(0, UNREACHABLE);
    }
    if (response.ok) return response;
    if (response.status === 429 && attempt < MAX_RETRIES) {
      const seconds = Number(response.headers.get("Retry-After") ?? 1);
      await new Promise((done) => setTimeout(done, 1000 * seconds));
      continue;
    }
    const body = await response.json().catch(() => null);
    throw new RequestError(response.status, body?.error ?? { what: `HTTP status ${response.status}`, why: "the response could not be parsed", fix: "Try again" });
  }
}

function form(fields) {
  const body = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one instanceof Blob) body.append(name, one, "image"); // the file's own name is not sent
      else if (one !== undefined && one !== null && one !== "") body.append(name, one);
    }
  }
  return { method: "POST", body };
}

export const about = async () => (await call("/v1/about")).json();
export const segment = async (fields) => (await call("/v1/segment", form(fields))).json();
export const frames = async (fields) => (await call("/v1/frames", form(fields))).json();
export const measure = async (fields) => (await call("/v1/measure", form(fields))).json();

// The exported file, and the end of its name, such as "lesions.csv".
export async function exportFile(kind, fields) {
  const response = await call(`/v1/export/${kind}`, form(fields));
  const name = /filename="suraksha-([^"]+)"/.exec(response.headers.get("Content-Disposition"))?.[1];
  return { blob: await response.blob(), suffix: name ?? kind };
}

export function pngBlob(base64) {
  return new Blob([Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))], { type: "image/png" });
}

export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
