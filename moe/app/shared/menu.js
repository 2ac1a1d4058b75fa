// Mends a phone's menu; see moe/app/shared/menu.py.

let shown, lists;

const plain = () => document.querySelectorAll(
  '[data-testid="stSidebarNavItems"]:is(:not([role]), :has(li:not([role])))'
).forEach((list) => [list, ...list.querySelectorAll("li")].forEach(
  (node) => node.setAttribute("role", "presentation")));

export default function ({ data }) {
  const other = shown !== undefined && shown !== data;
  shown = data;
  if (other && matchMedia("(max-width: 768px)").matches) document.querySelector(
    '[data-testid="stSidebar"] button[aria-controls="stSidebar"][aria-expanded="true"]'
  )?.click();
  if (!lists) {
    lists = new MutationObserver(plain);
    lists.observe(document.body, { childList: true, subtree: true });
    plain();
  }
}
