// Closes a phone's menu once another page was chosen in it; see moe/app/shared/menu.py.

let shown;

export default function ({ data }) {
  const other = shown !== undefined && shown !== data;
  shown = data;
  if (other && matchMedia("(max-width: 768px)").matches) document.querySelector(
    '[data-testid="stSidebar"] button[aria-controls="stSidebar"][aria-expanded="true"]'
  )?.click();
}
