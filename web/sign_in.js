// Says what was wrong with a token or a link, takes it out of the address, and keeps the page that was asked for.
import {keepPlace} from "./place.js";

const given = new URLSearchParams(location.search);
const problem = document.getElementById("problem");
if (given.has("token")) problem.textContent = "That token opens nothing here: it is wrong, was revoked, or may not read.";
if (given.has("code")) problem.textContent = "That link opens nothing any more: it is good once, and for five minutes.";
problem.hidden = problem.textContent === "";
if (location.search !== "") history.replaceState(null, "", "/" + location.hash);
keepPlace(location.hash);
