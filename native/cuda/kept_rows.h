// Rounded rows that the next operation reads again: the gradient of a linear map's weights and that of its input are calls one after the other with the
// same d_y, and several maps often have the same x. Such rows are packed at the beginning of the workspace and noted in the context. The note is
// read by the next operation alone, and any other call of the table in between, or a workspace that moves, clears it; so the rows cannot have changed
// unless the noting operation itself wrote to them, which `keep_rows` is asked to exclude.
#pragma once

#include <initializer_list>

#include "cuda/context.h"
#include "cuda/operand.h"

namespace mendset::cuda {

// rows x depth numbers, leading dimension ld, in bytes from the first to one beyond the last.
inline int64_t matrix_bytes(int64_t rows, int64_t columns, int64_t ld, size_t element) {
  return rows > 0 && columns > 0 ? ((rows - 1) * ld + columns) * static_cast<int64_t>(element) : 0;
}

struct Written {
  const void* data;
  int64_t bytes;
};
// `written`: all that the running operation writes but for its scratch.
inline void keep_rows(Context& context, const KeptRows& rows, std::initializer_list<Written> written) {
  const auto begin = reinterpret_cast<uintptr_t>(rows.data), end = begin + static_cast<uintptr_t>(matrix_bytes(rows.rows, rows.depth, rows.ld, sizeof(float)));
  for (const Written& each : written) {
    const auto other = reinterpret_cast<uintptr_t>(each.data);
    if (each.data != nullptr && begin < other + static_cast<uintptr_t>(each.bytes) && other < end) return;
  }
  if (!context.measuring) context.left = rows;
}

// The operand of these rows at the beginning of the workspace, made unless it was found there.
inline int32_t pack_kept_rows(Context& context, Precision precision, const KeptRows& rows, std::byte* workspace, Operand* out) {
  if (context.found == rows) {
    ++context.found_count;
    *out = {reinterpret_cast<unsigned char*>(workspace), rows.rows, rows.depth, operand_row_bytes(precision, rows.depth)};
    return MS_OK;
  }
  return pack_operand(context, precision, {rows.data, rows.ld, false, rows.activation}, rows.rows, rows.depth, workspace, out);
}

}  // namespace mendset::cuda
