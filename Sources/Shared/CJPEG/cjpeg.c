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
  jpeg_read_header(&reader.info, TRUE);
  int is_gray = reader.info.jpeg_color_space == JCS_GRAYSCALE;
  if (!is_gray && reader.info.num_components != 3) {
    snprintf(message, CJPEG_MESSAGE, "%d components, as for print: expected gray or colour", reader.info.num_components);
    longjmp(reader.end, 1);
  }
  picture->width = reader.info.image_width;
  picture->height = reader.info.image_height;
  picture->channels = is_gray ? 1 : 3;
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
