// Sequences of operations are started, recorded and replayed, and are always what the operations would be one by one.
#include "cuda/sequence.h"

#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "cuda/plugin.h"
#include "test/check.h"

using namespace mendset;
using namespace mendset::test;

namespace {

constexpr int64_t kRows = 12, kIn = 20, kOut = 16;

// A context with buffers for a linear map that is trained. graphs: MENDSET_CUDA_GRAPHS.
class Stage {
 public:
  explicit Stage(const char* graphs) : table_(*cuda::backend_table()) {
    setenv("MENDSET_CUDA_GRAPHS", graphs, 1);
    CHECK(table_.create(1, &context_) == MS_OK);
    for (float** each : {&x_, &w_, &v_, &y_, &other_}) *each = static_cast<float*>(memory(kFloats * sizeof(float)));
    squares_ = static_cast<double*>(memory(sizeof(double)));
    put(x_, 1), put(w_, 2);
  }
  ~Stage() {
    for (void* each : memory_) table_.free(context_, each);
    table_.destroy(context_);
  }
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;

  struct Turn {
    float lr = 0.25f;
    bool other_output = false;
    unsigned char padding = 0;  // what lies between the fields of argument structs
  };
  // y = x w, |y|^2 is added up, w moves against y's first numbers: every turn depends on all before it.
  int32_t turn(const Turn& turn) {
    float* const y = turn.other_output ? other_ : y_;
    ms_linear_forward_args linear;
    std::memset(static_cast<void*>(&linear), turn.padding, sizeof linear);
    linear.rows = kRows, linear.in = kIn, linear.out = kOut, linear.x = x_, linear.ld_x = kIn, linear.x_activation = MS_ACTIVATION_NONE, linear.w = w_, linear.w_type = MS_TYPE_F32;
    linear.layout = MS_LAYOUT_IN_OUT, linear.bias = nullptr, linear.residual = nullptr, linear.y = y, linear.ld_y = kOut;
    const ms_sum_squares_args squares{kRows * kOut, y, squares_};
    ms_rmsprop_args step;
    std::memset(static_cast<void*>(&step), turn.padding, sizeof step);
    step.count = kRows * kOut, step.w = w_, step.g = y, step.v = v_, step.lr = turn.lr, step.alpha = 0.9f, step.epsilon = 1e-3f, step.grad_scale = 1;
    CHECK(table_.begin_sequence(context_) == MS_OK);
    CHECK(table_.linear_forward(context_, &linear) == MS_OK && table_.sum_squares(context_, &squares) == MS_OK && table_.rmsprop(context_, &step) == MS_OK);
    return table_.end_sequence(context_);
  }
  // One by one: a linear map so large that the scratch grows.
  void grow(int64_t rows) {
    auto* const x = static_cast<float*>(memory(static_cast<size_t>(rows * kIn) * sizeof(float)));
    auto* const y = static_cast<float*>(memory(static_cast<size_t>(rows * kOut) * sizeof(float)));
    ms_linear_forward_args args{};
    args.rows = rows, args.in = kIn, args.out = kOut, args.x = x, args.ld_x = kIn, args.w = w_, args.y = y, args.ld_y = kOut;
    CHECK(table_.linear_forward(context_, &args) == MS_OK);
  }
  // Sums of rows by label, which look at the labels on the host before they begin.
  int32_t label_sums(int32_t label, std::vector<double>* out) {
    auto* const labels = static_cast<int32_t*>(memory(kRows * sizeof(int32_t)));
    auto* const sums = static_cast<double*>(memory(2 * kIn * sizeof(double)));
    auto* const counts = static_cast<int64_t*>(memory(2 * sizeof(int64_t)));
    std::vector<int32_t> values(kRows, 1);
    values[3] = label;
    CHECK(table_.upload(context_, labels, values.data(), kRows * sizeof(int32_t)) == MS_OK);
    const ms_label_sums_args args{kRows, 2, kIn, x_, labels, sums, counts};
    int32_t result = MS_OK;
    for (int again = 0; again < 3; ++again) {
      CHECK(table_.begin_sequence(context_) == MS_OK);
      const int32_t held = table_.label_sums(context_, &args), ended = table_.end_sequence(context_);
      for (const int32_t each : {held, ended}) result = each != MS_OK ? each : result;
    }
    out->resize(2 * kIn);
    CHECK(table_.download(context_, out->data(), sums, out->size() * sizeof(double)) == MS_OK);
    return result;
  }
  void fill(int64_t count, float value) {
    const ms_fill_args args{count, value, y_};
    CHECK(table_.begin_sequence(context_) == MS_OK && table_.fill(context_, &args) == MS_OK && table_.end_sequence(context_) == MS_OK);
  }
  void put(float* place, unsigned seed) {
    std::vector<float> values(kFloats);
    for (float& value : values) seed = seed * 1664525u + 1013904223u, value = static_cast<float>(seed >> 8) * 0x1p-24f - 0.5f;
    CHECK(table_.upload(context_, place, values.data(), kFloats * sizeof(float)) == MS_OK);
  }
  float* x() const { return x_; }

  // All that the turns have left behind.
  std::vector<unsigned char> state() const {
    std::vector<unsigned char> bytes(4 * kFloats * sizeof(float) + sizeof(double));
    unsigned char* to = bytes.data();
    for (const float* each : {w_, v_, y_, other_}) {
      CHECK(table_.download(context_, to, each, kFloats * sizeof(float)) == MS_OK);
      to += kFloats * sizeof(float);
    }
    CHECK(table_.download(context_, to, squares_, sizeof(double)) == MS_OK);
    return bytes;
  }
  const cuda::Sequences::Counts& counts() const { return cuda::context_of(context_).sequences->counts(); }
  bool replays() const { return cuda::context_of(context_).sequences != nullptr; }
  std::string device() const { return table_.device(context_); }
  std::string error() const { return table_.last_error(context_); }

 private:
  static constexpr size_t kFloats = 512;
  void* memory(size_t bytes) {
    void* out = nullptr;
    CHECK(table_.alloc(context_, bytes, &out) == MS_OK);
    memory_.push_back(out);
    return out;
  }

  const ms_backend& table_;
  ms_context* context_ = nullptr;
  std::vector<void*> memory_;
  float *x_, *w_, *v_, *y_, *other_;
  double* squares_;
};

// Both contexts go through the same turns.
struct Pair {
  Stage replayed{"on"}, judge{"off"};
  void turn(const Stage::Turn& turn) {
    CHECK(replayed.turn(turn) == MS_OK);
    CHECK(judge.turn(turn) == MS_OK);
    CHECK(replayed.state() == judge.state());
  }
  void counts(int64_t started, int64_t recorded, int64_t played) const {
    const cuda::Sequences::Counts& c = replayed.counts();
    CHECK(c.started == started && c.recorded == recorded && c.replayed == played && c.refused == 0);
  }
};

void test_replays() {
  Pair pair;
  CHECK(pair.replayed.replays() && !pair.judge.replays());
  for (int i = 0; i < 5; ++i) pair.turn({.padding = static_cast<unsigned char>(i % 2 == 0 ? 0xff : 0x11)});
  pair.counts(1, 1, 3);
  for (Stage* each : {&pair.replayed, &pair.judge}) each->put(each->x(), 3);  // new numbers in the old place
  pair.turn({});
  pair.counts(1, 1, 4);
  // other scalars and other places are other sequences
  for (const float lr : {0.5f, 0.125f, 0.0625f}) pair.turn({.lr = lr});
  pair.counts(4, 1, 4);
  for (int i = 0; i < 3; ++i) pair.turn({.other_output = true});
  pair.counts(5, 2, 5);
  pair.turn({});
  pair.counts(5, 2, 6);
}

void test_scratch_grows() {
  Pair pair;
  for (int i = 0; i < 3; ++i) pair.turn({});
  pair.counts(1, 1, 1);
  for (Stage* each : {&pair.replayed, &pair.judge}) each->grow(5000);
  for (int i = 0; i < 3; ++i) pair.turn({});
  pair.counts(2, 2, 2);
}

void test_refused() {
  Pair pair;
  std::vector<double> sums, expected;
  CHECK(pair.replayed.label_sums(0, &sums) == MS_OK && pair.judge.label_sums(0, &expected) == MS_OK);
  CHECK(sums == expected && pair.replayed.counts().refused == 1 && pair.replayed.counts().replayed == 0);
  CHECK(pair.replayed.device() == pair.judge.device());
  CHECK(pair.replayed.label_sums(7, &sums) == MS_INVALID_ARGUMENT && pair.replayed.error().find("label") != std::string::npos);
  for (int i = 0; i < 3; ++i) pair.turn({});  // and goes on
  Stage strict{"required"};
  CHECK(strict.label_sums(0, &sums) == MS_DEVICE && strict.error().find("cannot be recorded") != std::string::npos);
}

// More sequences than are kept.
void test_many() {
  Pair pair;
  for (int round = 0; round < 3; ++round) {
    for (int64_t count = 1; count <= 100; ++count) {
      for (Stage* each : {&pair.replayed, &pair.judge}) {
        for (int again = 0; again < 3; ++again) each->fill(count, static_cast<float>(count + round));
      }
      CHECK(pair.replayed.state() == pair.judge.state());
    }
  }
  CHECK(pair.replayed.counts().replayed == 300);
}

}  // namespace

int main() {
  test_replays();
  test_scratch_grows();
  test_refused();
  test_many();
  return finish();
}
