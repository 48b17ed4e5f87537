// Everything that the page does.
setUpSorting();
setUpCurves();
setUpCells();
