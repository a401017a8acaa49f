// Opened as a file, a page has no modules, and so no models.
if (location.protocol === "file:") {
  document.getElementById("status").textContent =
    "Opened as a file this page does not work. In its folder run `python -m http.server`, and open http://localhost:8000.";
}
