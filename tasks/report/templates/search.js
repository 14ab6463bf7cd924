"use strict";
{
  const box = document.getElementById("search");
  const status = document.getElementById("matches");
  const examples = [...document.querySelectorAll("details.example")].map(
    (element) => ({ element, text: element.textContent.toLowerCase() })
  );

  const filter = () => {
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    let matching = 0;
    for (const { element, text } of examples) {
      element.hidden = !words.every((word) => text.includes(word));
      matching += element.hidden ? 0 : 1;
    }
    status.textContent = `${matching} of ${examples.length} examples match`;
  };

  box.addEventListener("input", filter);
  box.closest("search").hidden = false;
  filter();
}
