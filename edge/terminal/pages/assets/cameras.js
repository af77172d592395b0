// The cameras' page: asks for each camera's newest picture about once a second, one at a time, while
// the page is seen and the look lasts.
"use strict";

const EVERY_MS = 1000;

function follow(image) {
  const none = image.nextElementSibling;
  let n = 0;
  const ask = () => {
    if (document.querySelector(".cameras").dataset.over) return;
    if (document.hidden) setTimeout(ask, EVERY_MS);
    else image.src = `${image.dataset.src}&n=${n++}`;
  };
  image.addEventListener("load", () => {
    image.hidden = false;
    image.dataset.seen = n;
    setTimeout(ask, EVERY_MS);
  });
  image.addEventListener("error", () => {
    image.hidden = true;
    none.replaceChildren(document.getElementById("no-picture").content.cloneNode(true));
    setTimeout(ask, EVERY_MS);
  });
  ask();
}

document.addEventListener("DOMContentLoaded", () => {
  const cameras = document.querySelector(".cameras");
  cameras.querySelectorAll("img[data-src]").forEach(follow);
  setTimeout(() => {
    cameras.dataset.over = "yes";
    cameras.before(document.getElementById("look-over").content.cloneNode(true));
  }, 1000 * Number(cameras.dataset.seconds));
});
