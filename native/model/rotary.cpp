// The rotary embedding's frequencies from a config: the kinds of scaling that transformers knows, by its formulas.
#include <algorithm>
#include <cmath>
#include <string>

#include "model/family.h"

namespace mendset {

namespace {

constexpr double kPi = 3.14159265358979323846;

struct Scaling {
  ConfigReader& values;  // rope_parameters or rope_scaling
  const Architecture& a;
  double base;
  double number(const char* key, double fallback) {
    const double value = values.number(key, fallback);
    if (!(value > 0) || !std::isfinite(value))
      values.fail(failure(Code::invalid_argument, "config.json: %s of the rotary scaling must be positive, got %g.", key, value));
    return value;
  }
  double required(const char* key) {
    if (values.find(key) != nullptr) return number(key, 1);
    values.fail(failure(Code::invalid_argument, "config.json: the rotary scaling has no %s.", key));
    return 1;
  }
  double original_context() { return number("original_max_position_embeddings", static_cast<double>(a.context)); }
};

// Long wavelengths are stretched by the factor, short ones kept, those between blended.
void scale_llama3(Scaling& s, std::vector<double>& frequencies) {
  const double factor = s.required("factor"), low = s.required("low_freq_factor"), high = s.required("high_freq_factor"),
               context = s.original_context();
  for (double& frequency : frequencies) {
    const double wavelength = 2 * kPi / frequency;
    if (wavelength < context / high) continue;
    if (wavelength > context / low) {
      frequency /= factor;
      continue;
    }
    const double smooth = (context / wavelength - low) / (high - low);
    frequency = (1 - smooth) * frequency / factor + smooth * frequency;
  }
}

// arXiv 2309.00071: columns that turn often keep their frequency, slow ones are stretched, a ramp lies between.
void scale_yarn(Scaling& s, int32_t dims, std::vector<double>& frequencies, float* magnitude) {
  const double context = s.original_context();
  const double factor = s.values.find("factor") != nullptr ? s.number("factor", 1) : static_cast<double>(s.a.context) / context;
  const auto magnitude_of = [&](double scale) { return factor <= 1 ? 1.0 : 0.1 * scale * std::log(factor) + 1; };
  const double scale = s.values.number("mscale", 0), scale_all = s.values.number("mscale_all_dim", 0);
  const double inferred = scale != 0 && scale_all != 0 ? magnitude_of(scale) / magnitude_of(scale_all) : magnitude_of(1);
  *magnitude = static_cast<float>(s.number("attention_factor", inferred));
  const auto column_of = [&](double turns) { return dims * std::log(context / (turns * 2 * kPi)) / (2 * std::log(s.base)); };
  double low = column_of(s.number("beta_fast", 32)), high = column_of(s.number("beta_slow", 1));
  if (s.values.flag("truncate", true)) low = std::floor(low), high = std::ceil(high);
  low = std::max(low, 0.0);
  high = std::min(high, static_cast<double>(dims - 1));
  if (low == high) high += 0.001;
  for (size_t c = 0; c < frequencies.size(); ++c) {
    const double stretched = std::clamp((static_cast<double>(c) - low) / (high - low), 0.0, 1.0);
    frequencies[c] = frequencies[c] / factor * stretched + frequencies[c] * (1 - stretched);
  }
}

}  // namespace

void read_rotary(ConfigReader& config, const char* base_key, const char* fraction_key, double default_fraction, Architecture* a) {
  a->learned_positions = false;
  double fraction = fraction_key != nullptr ? config.number(fraction_key, default_fraction) : default_fraction;
  double base = config.number(base_key, 10000);
  const Json* parameters = config.find("rope_scaling");
  if (parameters == nullptr) parameters = config.find("rope_parameters");
  const Json none = Json::object();
  ConfigReader values(parameters != nullptr ? *parameters : none);
  fraction = values.number("partial_rotary_factor", config.number("partial_rotary_factor", fraction));
  base = values.number("rope_theta", base);
  if (!(fraction >= 0 && fraction <= 1) || !(base > 1)) {
    config.fail(failure(Code::invalid_argument,
                        "config.json: the rotary fraction must lie in [0, 1] and its base above 1, got %g and %g.", fraction,
                        base));
    return;
  }
  a->rotary_dims = static_cast<int32_t>(static_cast<double>(a->head_dim) * fraction);
  if (a->rotary_dims % 2 != 0) {
    config.fail(
        failure(Code::unsupported, "config.json: an odd number of rotary dimensions (%d) is not supported.", a->rotary_dims));
    return;
  }
  for (int32_t c = 0; c < a->rotary_dims / 2; ++c)
    a->rotary_frequencies.push_back(std::pow(base, -2.0 * static_cast<double>(c) / a->rotary_dims));
  const Json* type = values.find("rope_type");
  if (type == nullptr) type = values.find("type");
  const std::string kind = type == nullptr ? "default" : type->as_string();
  Scaling scaling{values, *a, base};
  if (kind == "linear") {
    const double factor = scaling.required("factor");
    for (double& frequency : a->rotary_frequencies) frequency /= factor;
  } else if (kind == "llama3") {
    scale_llama3(scaling, a->rotary_frequencies);
  } else if (kind == "yarn") {
    scale_yarn(scaling, a->rotary_dims, a->rotary_frequencies, &a->rotary_magnitude);
  } else if (kind != "default" && kind != "dynamic") {  // dynamic changes nothing up to max_position_embeddings
    config.fail(failure(Code::unsupported,
                        "config.json: the rotary scaling \"%.40s\" is not supported; supported are default, linear, dynamic, "
                        "llama3 and yarn.",
                        kind.c_str()));
  }
  config.fail(values.status());
}

}  // namespace mendset
