# The filters that evaluate drew into PICTURE, as they are.
eval begin(440, 470, 0)
left = 10; right = 10; top = 10; foot = 34.0
unset border; unset tics; unset grid
set size ratio -1
set label "filters by weight; gray is 0" at screen 0.5, screen 17.0 / height center
eval panel(1, 1)
plot picture binary filetype=png with rgbimage
