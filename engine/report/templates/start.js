// Start the page's scripts.
setUpSorting();
setUpCurves();
setUpCells();
