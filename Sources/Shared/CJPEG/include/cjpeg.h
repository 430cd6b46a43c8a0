/// JPEG pictures by libjpeg, in C because libjpeg reports errors by longjmp, which must not pass over Swift's frames.

#pragma once

#include <stddef.h>
#include <stdint.h>

/// What a file says of its picture. `channels` are 1 (gray) or 3 (red, green, blue); `orientation` is that of EXIF, 1 to
/// 8, 1 where it says nothing that can be understood.
struct cjpeg_picture {
  uint32_t width, height, channels, orientation;
};

/// The length of a message, with its last 0.
#define CJPEG_MESSAGE 256

/// Reads the header of a JPEG file. Returns 0, or −1 with a `message` of what is wrong.
int cjpeg_read_header(
  const uint8_t *_Nonnull bytes, size_t count, struct cjpeg_picture *_Nonnull picture, char *_Nonnull message);

/// Reads the picture into `pixels`: height × width × channels bytes, for what the header says. Returns 0, or −1 with a
/// `message`: also if the file ends early or its data are damaged, of which libjpeg only warns.
int cjpeg_read_pixels(
  const uint8_t *_Nonnull bytes, size_t count, uint8_t *_Nonnull pixels, char *_Nonnull message);
