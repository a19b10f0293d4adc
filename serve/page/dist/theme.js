// Before the first paint, so that a chosen theme does not flash. Nothing is chosen: the system decides.
try {
  var theme = localStorage.getItem('tidewatch.theme');
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
} catch (e) {
  // Storage is forbidden here: the system decides.
}
