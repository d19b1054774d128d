// Rounded rows that an operation leaves for the next one are found when they are the same, and never when anything could have
// changed them.
#include "cuda/kept_rows.h"

#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "cuda/plugin.h"
#include "test/check.h"

using namespace mendset;

namespace {

constexpr int64_t kRows = 150, kIn = 70, kOut = 90, kFloats = 40'000;

// One context: linear maps over x, and their gradients over g. `forgets`: between two operations an empty transfer makes it
// forget what was left.
class Stage {
 public:
  Stage(const char* precision, bool forgets) : forgets_(forgets), table_(*cuda::backend_table()) {
    setenv("MENDSET_CUDA_PRECISION", precision, 1);
    CHECK(table_.create(1, &context_) == MS_OK);
    for (float** each : {&x, &g, &w, &v, &y, &d_x, &d_w}) *each = static_cast<float*>(memory(kFloats * sizeof(float)));
    squares_ = static_cast<double*>(memory(2 * sizeof(double)));
    offsets_ = static_cast<int32_t*>(memory(3 * sizeof(int32_t)));
    const int32_t offsets[] = {0, 60, kRows};
    CHECK(table_.upload(context_, offsets_, offsets, sizeof offsets) == MS_OK);
    unsigned seed = 1;
    for (float* each : {x, g, w, v}) put(each, ++seed);
  }
  ~Stage() {
    for (void* each : memory_) table_.free(context_, each);
    table_.destroy(context_);
  }
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;

  void forward(const float* from, const float* weights, float* to, int64_t rows = kRows,
               int32_t activation = MS_ACTIVATION_NONE) {
    const ms_linear_forward_args args{rows,    kIn,     kOut, from, kIn,        activation, weights, MS_LAYOUT_IN_OUT,
                                      nullptr, nullptr, to,   kOut, MS_TYPE_F32};
    done(table_.linear_forward(context_, &args));
  }
  void weight(const float* from, float* bias = nullptr) {
    const ms_linear_backward_weight_args args{kRows, kIn, kOut, x, kIn, MS_ACTIVATION_NONE, from, kOut, d_w, MS_LAYOUT_OUT_IN,
                                              bias,  0};
    done(table_.linear_backward_weight(context_, &args));
  }
  void norm(const float* from) {
    const ms_linear_sample_norm_args args{kRows, kIn,  kOut,     2,       offsets_, 90, x, kIn, MS_ACTIVATION_NONE,
                                          from,  kOut, squares_, nullptr, 1};
    done(table_.linear_sample_norm(context_, &args));
  }
  void input(const float* from) {
    const ms_linear_backward_input_args args{kRows, kIn, kOut, from,       kOut, w, MS_LAYOUT_IN_OUT, nullptr, MS_ACTIVATION_NONE,
                                             d_x,   kIn, 0,    MS_TYPE_F32};
    done(table_.linear_backward_input(context_, &args));
  }
  void fill(float* place) {
    const ms_fill_args args{100, 0.5f, place};
    done(table_.fill(context_, &args));
  }
  void put(float* place, unsigned seed) {
    std::vector<float> values(kFloats);
    for (float& value : values) seed = seed * 1664525u + 1013904223u, value = static_cast<float>(seed >> 8) * 0x1p-24f - 0.5f;
    CHECK(table_.upload(context_, place, values.data(), kFloats * sizeof(float)) == MS_OK);
  }
  void copy(float* to, const float* from) { CHECK(table_.copy(context_, to, from, 400) == MS_OK); }
  void estimate() {
    const ms_linear_forward_args args{5000,    kIn,     kOut, x,    kIn,        MS_ACTIVATION_NONE, w, MS_LAYOUT_IN_OUT,
                                      nullptr, nullptr, y,    kOut, MS_TYPE_F32};
    CHECK(table_.scratch_bytes(context_, MS_OPERATION_linear_forward, &args) > 0);
  }
  void sequence(const std::function<void()>& operations) {
    CHECK(table_.begin_sequence(context_) == MS_OK);
    held_ = true;
    operations();
    held_ = false;
    done(table_.end_sequence(context_));
  }
  std::vector<unsigned char> state() const {
    std::vector<unsigned char> bytes(7 * kFloats * sizeof(float) + 2 * sizeof(double));
    unsigned char* to = bytes.data();
    for (const float* each : {x, g, w, v, y, d_x, d_w}) {
      CHECK(table_.download(context_, to, each, kFloats * sizeof(float)) == MS_OK);
      to += kFloats * sizeof(float);
    }
    CHECK(table_.download(context_, to, squares_, 2 * sizeof(double)) == MS_OK);
    return bytes;
  }
  int64_t found() const { return cuda::context_of(context_).found_count; }

  float *x, *g, *w, *v, *y, *d_x, *d_w;

 private:
  void* memory(size_t bytes) {
    void* out = nullptr;
    CHECK(table_.alloc(context_, bytes, &out) == MS_OK);
    memory_.push_back(out);
    return out;
  }
  void done(int32_t result) {
    CHECK(result == MS_OK);
    if (forgets_ && !held_) CHECK(table_.copy(context_, x, x, 0) == MS_OK);
  }
  const bool forgets_;
  bool held_ = false;
  const ms_backend& table_;
  ms_context* context_ = nullptr;
  std::vector<void*> memory_;
  double* squares_;
  int32_t* offsets_;
};

struct Case {
  const char* name;
  int64_t found;  // operands that need not be made again
  std::function<void(Stage&)> run;
};

const Case kCases[] = {
    {"three maps of one x", 2,
     [](Stage& s) { s.forward(s.x, s.w, s.y), s.forward(s.x, s.v, s.y + 13'500), s.forward(s.x, s.w, s.d_x); }},
    {"another activation, or fewer rows", 0,
     [](Stage& s) {
       s.forward(s.x, s.w, s.y), s.forward(s.x, s.w, s.y, kRows, MS_ACTIVATION_RELU),
           s.forward(s.x, s.w, s.d_x, 100, MS_ACTIVATION_RELU);
     }},
    {"weights, then input", 1, [](Stage& s) { s.weight(s.g), s.input(s.g); }},
    {"with a bias", 1, [](Stage& s) { s.weight(s.g, s.y), s.input(s.g); }},
    {"norms, then input", 1, [](Stage& s) { s.norm(s.g), s.input(s.g); }},
    {"another gradient", 0, [](Stage& s) { s.weight(s.g), s.input(s.x), s.norm(s.g), s.input(s.x); }},
    {"written by an operation", 0,
     [](Stage& s) { s.weight(s.g), s.fill(s.g), s.input(s.g), s.forward(s.x, s.w, s.y), s.fill(s.x), s.forward(s.x, s.w, s.y); }},
    {"uploaded", 0, [](Stage& s) { s.weight(s.g), s.put(s.g, 9), s.input(s.g); }},
    {"copied to", 0, [](Stage& s) { s.weight(s.g), s.copy(s.g, s.x), s.input(s.g); }},
    {"written by the operation itself", 0, [](Stage& s) { s.forward(s.x, s.w, s.x + 10), s.forward(s.x, s.w, s.y); }},
    {"the bias' gradient in the gradient", 0, [](Stage& s) { s.weight(s.g, s.g + 5), s.input(s.g); }},
    {"an estimate between", 1, [](Stage& s) { s.weight(s.g), s.estimate(), s.input(s.g); }},
    {"the scratch moves", 0,
     [](Stage& s) {
       s.forward(s.x, s.w, s.y, 20), s.forward(s.x, s.w, s.y, 500), s.norm(s.g), s.fill(s.y), s.forward(s.x, s.w, s.y);
     }},
    {"sequences, three times", 3,
     [](Stage& s) {
       for (int i = 0; i < 3; ++i) s.sequence([&] { s.weight(s.g), s.input(s.g); });
     }},
    {"a sequence does not find what came before", 0,
     [](Stage& s) {
       for (int i = 0; i < 3; ++i) {
         s.weight(s.g);
         s.sequence([&] { s.input(s.g); });
         if (i == 1) s.put(s.g, 20);
       }
     }},
    {"nor does what follows find what it left", 0,
     [](Stage& s) {
       for (int i = 0; i < 3; ++i) s.sequence([&] { s.weight(s.g); }), s.input(s.g);
     }},
};

}  // namespace

int main() {
  for (const char* precision : {"bf16", "tf32", "tf32x3", "fp32"}) {
    for (const Case& each : kCases) {
      Stage stage(precision, false), judge(precision, true);
      each.run(stage);
      each.run(judge);
      const bool same = stage.state() == judge.state();
      // a replay finds nothing anew: its record was made with what was found
      const bool counted = std::string(each.name).starts_with("sequences") ? stage.found() == 2
                                                                           : stage.found() == each.found && judge.found() == 0;
      if (!same || !counted)
        std::printf("%s, %s: %s, found %lld\n", each.name, precision, same ? "same" : "other numbers",
                    static_cast<long long>(stage.found()));
      CHECK(same && counted);
    }
  }
  return test::finish();
}
