// BERT and RoBERTa: encoders with norms behind each sum, with or without a classification head.
#include <cmath>

#include "model/family.h"

namespace mendset {

namespace {

void read_encoder(ConfigReader& config, Architecture* a) {
  a->width = config.size("hidden_size");
  a->layers = config.layers("num_hidden_layers");
  a->heads = config.size("num_attention_heads");
  a->inner = config.size("intermediate_size");
  a->activation = config.activation("hidden_act", "gelu");
  a->epsilon = static_cast<float>(config.number("layer_norm_eps", 1e-12));
  a->kv_heads = a->heads;
  a->head_dim = config.head_dim(a->width, a->heads);
  a->attention_scale = 1 / std::sqrt(static_cast<float>(a->head_dim));
  a->layout = MS_LAYOUT_OUT_IN;
  a->qkv = QkvStorage::separate;
  a->token_types = config.size("type_vocab_size", 2);
  a->windows.assign(static_cast<size_t>(a->layers), 0);
  for (const char* key : {"is_decoder", "add_cross_attention"}) config.refuse(key);
  if (const Json* kind = config.find("position_embedding_type"); kind != nullptr && kind->as_string() != "absolute") {
    config.fail(failure(Code::unsupported,
                        "config.json: position_embedding_type is %.40s; supported is \"absolute\" (a learned table).",
                        kind->write(0).c_str()));
  }
  // num_labels is id2label's length in every file that transformers wrote; very old ones have the number alone.
  if (const Json* labels = config.find("id2label"); labels != nullptr && labels->is_object())
    a->labels = static_cast<int64_t>(labels->members().size());
  else
    a->labels = config.size("num_labels", 2);
  if (a->labels == 0) config.fail(failure(Code::invalid_argument, "config.json: id2label names no label."));
}

void read_bert(ConfigReader& config, Architecture* a) {
  read_encoder(config, a);
  a->context = config.size("max_position_embeddings");
}

void read_roberta(ConfigReader& config, Architecture* a) {
  read_encoder(config, a);
  // Positions count tokens that are no padding, from padding index + 1.
  a->padding = config.index("pad_token_id", 1);
  a->position_offset = a->padding + 1;
  const int64_t positions = config.size("max_position_embeddings");
  a->context = positions - a->position_offset;
  if (a->context < 1) {
    config.fail(failure(Code::invalid_argument, "config.json: max_position_embeddings is %lld, but positions begin at %lld.",
                        static_cast<long long>(positions), static_cast<long long>(a->position_offset)));
    a->context = 1;
  }
}

constexpr Family bert_like(const char* name, const char* prefix) {
  return {.name = name,
          .encoder = true,
          .prefix = prefix,
          .token_embedding = "embeddings.word_embeddings",
          .position_embedding = "embeddings.position_embeddings",
          .token_type_embedding = "embeddings.token_type_embeddings",
          .embedding_norm = "embeddings.LayerNorm",
          .block = "encoder.layer.",
          .norm1 = "attention.output.LayerNorm",
          .norm2 = "output.LayerNorm",
          .qkv = {"attention.self.query", "attention.self.key", "attention.self.value"},
          .attention_out = "attention.output.dense",
          .mlp_in = "intermediate.dense",
          .mlp_out = "output.dense",
          .pooler = "pooler.dense",
          .classifier = "classifier",
          .unused = {"embeddings.position_ids", "embeddings.token_type_ids", "pooler.", "cls.", "lm_head."},
          .read = read_bert};
}

constexpr Family roberta_like(const char* name) {
  Family family = bert_like(name, "roberta.");
  family.pooler = "classifier.dense";
  family.pooler_has_prefix = false;
  family.classifier = "classifier.out_proj";
  family.read = read_roberta;
  return family;
}

constexpr Family kFamilies[] = {bert_like("bert", "bert."), roberta_like("roberta"), roberta_like("xlm-roberta")};

}  // namespace

std::span<const Family> encoder_families() { return kFamilies; }

}  // namespace mendset
