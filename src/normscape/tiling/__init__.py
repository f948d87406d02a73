"""Large images: cut into overlapping tiles, each judged as an image, the maps blended into one."""
