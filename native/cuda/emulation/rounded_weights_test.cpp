// Rounded weights are kept from call to call, and whatever may change the weights makes them be rounded again: operations,
// optimisers, transfers, frees, inside sequences and between them, replayed or not. The judge keeps none.
#include "cuda/rounded_weights.h"

#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "cuda/plugin.h"
#include "cuda/sequence.h"
#include "test/check.h"

using namespace mendset;

namespace {

constexpr int64_t kRows = 40, kIn = 70, kOut = 90, kMatrix = kIn * kOut, kFloats = 20'000;

class Stage {
 public:
  explicit Stage(const char* keeps) : table_(*cuda::backend_table()) {
    setenv("MENDSET_CUDA_WEIGHTS", keeps, 1);
    setenv("MENDSET_CUDA_PRECISION", "bf16", 1);
    CHECK(table_.create(1, &context_) == MS_OK);
    for (float** each : {&x, &y, &d_x, &v, &other}) *each = memory(kFloats);
    w = memory(kFloats);                                   // two matrices and a bias behind them
    for (float* each : {x, other, w}) put(each, kFloats);  // v, the optimisers' state, begins with zeros
  }
  ~Stage() {
    for (void* each : memory_) table_.free(context_, each);
    table_.destroy(context_);
  }
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;

  void forward(const float* weights, int32_t layout = MS_LAYOUT_IN_OUT) {
    const ms_linear_forward_args args{kRows,           kIn,     kOut, x,    kIn,        MS_ACTIVATION_NONE, weights, layout,
                                      w + 2 * kMatrix, nullptr, y,    kOut, MS_TYPE_F32};
    CHECK(table_.linear_forward(context_, &args) == MS_OK);
  }
  void input(const float* weights, int32_t layout = MS_LAYOUT_IN_OUT) {
    const ms_linear_backward_input_args args{kRows, kIn, kOut, x,          kOut, weights, layout, nullptr, MS_ACTIVATION_NONE,
                                             d_x,   kIn, 0,    MS_TYPE_F32};
    CHECK(table_.linear_backward_input(context_, &args) == MS_OK);
  }
  void rmsprop(float* weights, int64_t count) {
    const ms_rmsprop_args args{count, weights, other, v, 0.1f, 0.9f, 1e-3f, 1};
    CHECK(table_.rmsprop(context_, &args) == MS_OK);
  }
  void adamw(float* weights, int64_t count) {
    const ms_adamw_args args{count, weights, other, v, v + 9000, 0.1f, 0.9f, 0.99f, 1e-3f, 0, 1, 1};
    CHECK(table_.adamw(context_, &args) == MS_OK);
  }
  void fill(float* place, int64_t count) {
    const ms_fill_args args{count, 0.25f, place};
    CHECK(table_.fill(context_, &args) == MS_OK);
  }
  void norm(const float* gain) {
    const ms_norm_forward_args args{kRows, kIn, MS_NORM_LAYER, 1e-5f, x, gain, nullptr, other, nullptr, nullptr, 0, 0, 0};
    CHECK(table_.norm_forward(context_, &args) == MS_OK);
  }
  void put(float* place, int64_t count) {
    std::vector<float> values(static_cast<size_t>(count));
    for (float& value : values) seed_ = seed_ * 1664525u + 1013904223u, value = static_cast<float>(seed_ >> 8) * 0x1p-24f - 0.5f;
    CHECK(table_.upload(context_, place, values.data(), values.size() * sizeof(float)) == MS_OK);
  }
  void copy(float* to, const float* from, int64_t count) {
    CHECK(table_.copy(context_, to, from, static_cast<size_t>(count) * sizeof(float)) == MS_OK);
  }
  void sequence(const std::function<void()>& operations) {
    CHECK(table_.begin_sequence(context_) == MS_OK);
    operations();
    CHECK(table_.end_sequence(context_) == MS_OK);
  }
  // Weights that are freed, and others that may come to lie where they lay.
  void renew() {
    table_.free(context_, w);
    std::erase(memory_, w);
    w = memory(kFloats);
    put(w, kFloats);
  }
  void grow() {
    const ms_linear_forward_args args{200,     kIn,     kOut, w,    kIn,        MS_ACTIVATION_NONE, other, MS_LAYOUT_IN_OUT,
                                      nullptr, nullptr, v,    kOut, MS_TYPE_F32};
    CHECK(table_.linear_forward(context_, &args) == MS_OK);
  }
  void run_out() {
    if (auto& weights = cuda::context_of(context_).weights; weights != nullptr) CHECK(weights->drop(cuda::context_of(context_)));
  }
  cuda::RoundedWeights::Counts counts() const {
    const auto& weights = cuda::context_of(context_).weights;
    return weights != nullptr ? weights->counts() : cuda::RoundedWeights::Counts{};
  }
  bool is_number() const {
    std::vector<float> values(kFloats);
    CHECK(table_.download(context_, values.data(), y, kFloats * sizeof(float)) == MS_OK);
    float sum = 0;
    for (const float value : values) sum += value;
    return sum == sum && sum != 0;
  }
  std::vector<unsigned char> state() const {
    std::vector<unsigned char> bytes(6 * kFloats * sizeof(float));
    unsigned char* to = bytes.data();
    for (const float* each : {x, y, d_x, v, other, w}) {
      CHECK(table_.download(context_, to, each, kFloats * sizeof(float)) == MS_OK);
      to += kFloats * sizeof(float);
    }
    return bytes;
  }

  float *x, *y, *d_x, *v, *other, *w;

 private:
  float* memory(int64_t count) {
    void* out = nullptr;
    CHECK(table_.alloc(context_, static_cast<size_t>(count) * sizeof(float), &out) == MS_OK);
    memory_.push_back(out);
    return static_cast<float*>(out);
  }
  const ms_backend& table_;
  ms_context* context_ = nullptr;
  std::vector<void*> memory_;
  unsigned seed_ = 1;
};

struct Case {
  const char* name;
  int64_t made, read;
  std::function<void(Stage&)> run;
};

const Case kCases[] = {
    {"both directions, three times", 2, 6,
     [](Stage& s) {
       for (int i = 0; i < 3; ++i) s.forward(s.w), s.input(s.w);
     }},
    {"the other layout", 2, 4,
     [](Stage& s) {
       for (int i = 0; i < 2; ++i) s.forward(s.w, MS_LAYOUT_OUT_IN), s.input(s.w, MS_LAYOUT_OUT_IN);
     }},
    {"rmsprop of all", 2, 2,
     [](Stage& s) {
       for (int i = 0; i < 2; ++i) s.forward(s.w), s.rmsprop(s.w, kMatrix);
     }},
    {"rmsprop of the other matrix", 3, 4,
     [](Stage& s) {
       for (int i = 0; i < 2; ++i) s.forward(s.w), s.forward(s.w + kMatrix), s.rmsprop(s.w + kMatrix, kMatrix);
     }},
    {"adamw of a few", 2, 2,
     [](Stage& s) {
       for (int i = 0; i < 2; ++i) s.forward(s.w), s.adamw(s.w + kMatrix - 3, 10);
     }},
    {"an operation anywhere in the allocation", 4, 4,
     [](Stage& s) {
       for (int i = 0; i < 2; ++i) s.forward(s.w), s.input(s.w), s.fill(s.w + 5, 30);
     }},
    {"a state in the allocation", 2, 2,
     [](Stage& s) {
       for (int i = 0; i < 2; ++i) s.forward(s.w), s.rmsprop(s.other, 100), s.fill(s.w + 2 * kMatrix, 5);
     }},
    {"what reads only", 1, 3,
     [](Stage& s) {
       for (int i = 0; i < 3; ++i) s.forward(s.w), s.norm(s.w + 2 * kMatrix);
     }},
    {"uploaded", 2, 2,
     [](Stage& s) {
       for (int i = 0; i < 2; ++i) s.forward(s.w), s.put(s.w + 100, 10);
     }},
    {"uploaded beside", 1, 2,
     [](Stage& s) {
       for (int i = 0; i < 2; ++i) s.forward(s.w), s.put(s.w + kMatrix, 10);
     }},
    {"restored", 3, 3,
     [](Stage& s) {
       s.copy(s.other, s.w, kMatrix), s.forward(s.w), s.rmsprop(s.w, kMatrix), s.forward(s.w), s.copy(s.w, s.other, kMatrix),
           s.forward(s.w);
     }},
    {"copied from", 1, 2,
     [](Stage& s) {
       for (int i = 0; i < 2; ++i) s.forward(s.w), s.copy(s.other, s.w, kMatrix);
     }},
    {"freed and renewed", 3, 3,
     [](Stage& s) {
       for (int i = 0; i < 3; ++i) s.forward(s.w), s.renew();
     }},
    {"sequences", 1, 2,
     [](Stage& s) {
       for (int i = 0; i < 4; ++i) s.sequence([&] { s.forward(s.w); });
     }},
    {"sequences and updates between", 4, 2,
     [](Stage& s) {
       for (int i = 0; i < 4; ++i) s.sequence([&] { s.forward(s.w); }), s.rmsprop(s.w, kMatrix);
     }},
    {"sequences that end with the update", 4, 2,
     [](Stage& s) {
       for (int i = 0; i < 4; ++i) s.sequence([&] { s.forward(s.w), s.rmsprop(s.w, kMatrix); });
     }},
    {"sequences that begin with the update", 4, 0,
     [](Stage& s) {
       for (int i = 0; i < 4; ++i) s.sequence([&] { s.rmsprop(s.w, kMatrix), s.forward(s.w); });
     }},
    {"sequences that update between two readings", 8, 2,
     [](Stage& s) {
       for (int i = 0; i < 4; ++i)
         s.sequence([&] { s.forward(s.w), s.rmsprop(s.w, kMatrix), s.input(s.w), s.fill(s.w + kMatrix + 1, 4); });
     }},
    {"sequences and renewed weights", 4, 4,
     [](Stage& s) {
       for (int i = 0; i < 4; ++i) s.sequence([&] { s.forward(s.w); }), s.renew();
     }},
    {"weights as rows", 3, 3, [](Stage& s) { s.forward(s.w), s.grow(), s.forward(s.w); }},
    {"memory runs out", 1, 2,
     [](Stage& s) {
       for (int i = 0; i < 3; ++i) s.sequence([&] { s.forward(s.w); });
       s.run_out();
       for (int i = 0; i < 3; ++i) s.sequence([&] { s.forward(s.w); }), s.rmsprop(s.w, kMatrix);
     }},
};

}  // namespace

int main() {
  for (const Case& each : kCases) {
    Stage stage("on"), judge("off");
    each.run(stage);
    each.run(judge);
    CHECK(stage.is_number());
    const bool same = stage.state() == judge.state(),
               counted = stage.counts().made == each.made && stage.counts().read == each.read && judge.counts().made == 0;
    if (!same || !counted)
      std::printf("%s: %s, %lld made, %lld read\n", each.name, same ? "same" : "other numbers",
                  static_cast<long long>(stage.counts().made), static_cast<long long>(stage.counts().read));
    CHECK(same && counted);
  }
  return test::finish();
}
