// Buttons that copy the page's link, or an embed code for it; see moe/app/shared/share_box.py.

/** The link that was given, or the page's own address as it is now. */
function link(root) {
  return root.dataset.link || window.location.href;
}

function embedCode(href) {
  const url = new URL(href);
  url.searchParams.set("embed", "true");
  const source = url.href.replaceAll("&", "&amp;").replaceAll('"', "&quot;");
  return `<iframe src="${source}" width="100%" height="800" title="MoEscope"></iframe>`;
}

/** Copy; where the browser does not allow it, show the text selected, ready for the keyboard. */
async function copy(root, text) {
  const said = root.querySelector(".said"), box = root.querySelector(".by-hand");
  try {
    await navigator.clipboard.writeText(text);
    box.hidden = true;
    said.textContent = "Copied.";
  } catch {
    box.hidden = false;
    box.value = text;
    box.focus();
    box.select();
    said.textContent = "Press Ctrl+C (on a Mac: ⌘C) to copy.";
  }
}

/** Called by Streamlit on mounting and on new data. */
export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".share");
  root.dataset.link = data.link || "";
  root.querySelector(".link").onclick = () => copy(root, link(root));
  root.querySelector(".embed").onclick = () => copy(root, embedCode(link(root)));
}
