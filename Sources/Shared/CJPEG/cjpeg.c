#include "include/cjpeg.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

/// A progressive picture may have any number of passes over all of its pixels. Encoders write about ten.
#define MOST_SCANS 100

struct reader {
  struct jpeg_decompress_struct info;
  struct jpeg_error_mgr errors;
  struct jpeg_progress_mgr progress;
  jmp_buf end;
  char *message;
};

static void fail(j_common_ptr info) {
  struct reader *reader = info->client_data;
  char text[JMSG_LENGTH_MAX];
  info->err->format_message(info, text);
  snprintf(reader->message, CJPEG_MESSAGE, "%s", text);
  longjmp(reader->end, 1);
}

/// Warnings are of damaged data, but for a few.
static void heed(j_common_ptr info, int level) {
  int code = info->err->msg_code;
  if (level < 0 && code != JWRN_EXTRANEOUS_DATA && code != JWRN_ADOBE_XFORM && code != JWRN_JFIF_MAJOR) fail(info);
}

static void count_scans(j_common_ptr info) {
  struct reader *reader = info->client_data;
  if (reader->info.input_scan_number <= MOST_SCANS) return;
  snprintf(reader->message, CJPEG_MESSAGE, "more than %d passes over the picture", MOST_SCANS);
  longjmp(reader->end, 1);
}

/// The number of `bytes` bytes at `place` of the TIFF structure in `marker`, or 0 beyond its end.
static uint32_t number(const struct jpeg_marker_struct *marker, size_t place, int bytes, int is_little) {
  const size_t start = 6;
  if (place > marker->data_length || marker->data_length - place < start + (size_t)bytes) return 0;
  uint32_t value = 0;
  for (int i = 0; i < bytes; ++i) {
    value = value << 8 | marker->data[start + place + (size_t)(is_little ? bytes - 1 - i : i)];
  }
  return value;
}

/// The orientation in the first EXIF block: tag 0x0112, a short, of the first directory of a TIFF structure.
static uint32_t orientation_of(jpeg_saved_marker_ptr marker) {
  for (; marker; marker = marker->next) {
    if (marker->marker != JPEG_APP0 + 1 || marker->data_length < 14 || memcmp(marker->data, "Exif\0", 6)) continue;
    int is_little = marker->data[6] == 'I';
    if (marker->data[6] != marker->data[7] || (!is_little && marker->data[6] != 'M')) return 1;
    if (number(marker, 2, 2, is_little) != 42) return 1;
    size_t directory = number(marker, 4, 4, is_little);
    uint32_t count = number(marker, directory, 2, is_little);
    for (uint32_t i = 0; i < count; ++i) {
      size_t entry = directory + 2 + 12 * (size_t)i;
      if (number(marker, entry, 2, is_little) != 0x0112) continue;
      uint32_t value = number(marker, entry + 8, 2, is_little);
      return number(marker, entry + 2, 2, is_little) == 3 && value >= 1 && value <= 8 ? value : 1;
    }
    return 1;
  }
  return 1;
}

/// Reads the header, and with `pixels` the picture.
static int read_picture(
  const uint8_t *bytes, size_t count, struct cjpeg_picture *picture, uint8_t *pixels, char *message
) {
  struct reader reader;
  memset(&reader, 0, sizeof reader);
  message[0] = 0;
  reader.message = message;
  reader.info.err = jpeg_std_error(&reader.errors);
  reader.info.client_data = &reader;
  reader.errors.error_exit = fail;
  reader.errors.emit_message = heed;
  if (setjmp(reader.end)) {
    jpeg_destroy_decompress(&reader.info);
    return -1;
  }
  jpeg_create_decompress(&reader.info);
  jpeg_mem_src(&reader.info, bytes, count);
  if (!pixels) jpeg_save_markers(&reader.info, JPEG_APP0 + 1, 0xFFFF);
  jpeg_read_header(&reader.info, TRUE);
  int is_gray = reader.info.jpeg_color_space == JCS_GRAYSCALE;
  if (!is_gray && reader.info.num_components != 3) {
    snprintf(message, CJPEG_MESSAGE, "%d components, as for print: expected gray or colour", reader.info.num_components);
    longjmp(reader.end, 1);
  }
  picture->width = reader.info.image_width;
  picture->height = reader.info.image_height;
  picture->channels = is_gray ? 1 : 3;
  picture->orientation = orientation_of(reader.info.marker_list);
  if (pixels) {
    reader.progress.progress_monitor = count_scans;
    reader.info.progress = &reader.progress;
    reader.info.out_color_space = is_gray ? JCS_GRAYSCALE : JCS_RGB;
    reader.info.dct_method = JDCT_ISLOW;
    jpeg_start_decompress(&reader.info);
    size_t row = (size_t)reader.info.output_width * (size_t)reader.info.output_components;
    while (reader.info.output_scanline < reader.info.output_height) {
      JSAMPROW line = pixels + row * reader.info.output_scanline;
      jpeg_read_scanlines(&reader.info, &line, 1);
    }
    jpeg_finish_decompress(&reader.info);
  }
  jpeg_destroy_decompress(&reader.info);
  return 0;
}

int cjpeg_read_header(const uint8_t *bytes, size_t count, struct cjpeg_picture *picture, char *message) {
  return read_picture(bytes, count, picture, NULL, message);
}

int cjpeg_read_pixels(const uint8_t *bytes, size_t count, uint8_t *pixels, char *message) {
  struct cjpeg_picture picture;
  return read_picture(bytes, count, &picture, pixels, message);
}
