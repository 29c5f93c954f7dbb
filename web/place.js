// The page that somebody asked for before signing in; signing in leads to "/", without it.
const KEY = "seedbed-place";

export function keepPlace(hash) {
  if (hash !== "") sessionStorage.setItem(KEY, hash);
}

// Gives it once; "" if there is none.
export function takePlace() {
  const hash = sessionStorage.getItem(KEY) ?? "";
  sessionStorage.removeItem(KEY);
  return hash;
}
