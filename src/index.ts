/** The public face of mendset. Everything else is internal and may change. */

export type { Interval } from './core/bootstrap.ts';
export { type ErrorCode, INPUT_ERROR_CODES, MendsetError } from './core/errors.ts';
export { type Matrix, matrix } from './core/matrix.ts';
export { NumpyRandom, PythonRandom, RandomStream, STREAM_IDS } from './core/random.ts';
export type { ProgressEvent, RunOptions } from './core/run-options.ts';
export { type BuildPoolOptions, buildPool } from './data/build-pool.ts';
export { type NpyArray, type NpyData, type NpyDtype, readNpy, readNpyIds, readNpyMatrix, readNpyVector, writeNpy } from './data/npy.ts';
export { type EmbeddingBlock, type ReadEmbeddingsOptions, readEmbeddings } from './data/read-embeddings.ts';
export { type PairSet, type ReadPairsOptions, readPairs } from './data/read-pairs.ts';
export { type PromptRecord, type PromptSet, type ReadPromptsOptions, readPrompts } from './data/read-prompts.ts';
export { type ReadTextsOptions, readLambada, readTextRows, readTexts, type TextRows, type TextSet } from './data/read-texts.ts';
export type { PairRecord, Pool } from './data/record.ts';
export type { ColumnNames } from './data/rows.ts';
export { builtinScorer } from './evaluate/builtin-scorer.ts';
export { compareEvaluations, type EvaluationComparison, type FigureDifference } from './evaluate/compare-evaluations.ts';
export { type EvaluateOptions, type EvaluationResult, evaluate, type Figure } from './evaluate/evaluate.ts';
export type { LambadaTarget } from './evaluate/lambada.ts';
export { loadScorer, type ScorerSpec } from './evaluate/load-scorer.ts';
export { type Perplexity, type PerplexityOptions, type PerplexityWeighting, runningPerplexity } from './evaluate/perplexity.ts';
export type { Prompt } from './evaluate/prompts.ts';
export type { ScorerIdentity, ToxicityScorer } from './evaluate/scorer.ts';
export {
  compareToxicity,
  type RepairToxicity,
  type RepairToxicityOptions,
  repairToxicity,
  type ToxicityDifference,
  type ToxicityRecord,
} from './evaluate/toxicity-repair.ts';
export {
  type RtpFigures,
  type RtpRecord,
  type RtpSample,
  type RtpToxicity,
  type RtpToxicityOptions,
  rtpToxicity,
} from './evaluate/toxicity-rtp.ts';
export type { LabelRule } from './evaluate/toxicity-scores.ts';
export { type ComputedFeatures, computeFeatures, type FeatureContext } from './features/compute-features.ts';
export type { EmbeddingOptions } from './features/embeddings.ts';
export type { Feature, FeatureCost } from './features/feature.ts';
export type { GradientNormOptions } from './features/gradient-norms.ts';
export type { CountedTokens } from './features/record-sequences.ts';
export type { TokenScoreName, TokenScoreOptions } from './features/token-scores.ts';
export type { ToxicityFeatureOptions } from './features/toxicity.ts';
export * as metrics from './metrics/metrics.ts';
export type { AdapterShape } from './model/adapter-folder.ts';
export { type EmbedOptions, EncoderModel } from './model/encoder-model.ts';
export { batchOfLengths, type ForecastWork, forecastMemory, type MemoryForecast } from './model/forecast-memory.ts';
export {
  type Completion,
  type GenerateOptions,
  type GradientNormRunOptions,
  type GradientNorms,
  LanguageModel,
  type ScoredGradientNorms,
} from './model/language-model.ts';
export type { BackendName, LanguageModelOptions, LoadOptions, WeightStorage } from './model/load-weights.ts';
export { mergeAdapter } from './model/merge-adapter.ts';
export type { Pooling, SentenceConfig } from './model/sentence-config.ts';
export { SentenceEncoder } from './model/sentence-encoder.ts';
export { type ClassifierConfig, SequenceClassifier } from './model/sequence-classifier.ts';
export { completionSequence, pack, type SequenceLimits, type TokenSequence } from './model/sequences.ts';
export type { TokenScores } from './model/token-scores.ts';
export { type StepMemoryOptions, type StepRequest, type StepResult, Trainer } from './model/trainer.ts';
export type {
  NativeBackendReport as BackendReport,
  NativeModelSummary as ModelSummary,
  NativeOptimizerOptions as OptimizerOptions,
  NativeTensorInfo as TensorInfo,
  PackedBatch,
} from './native/binding.ts';
export { type EngineInfo, engineInfo } from './native/engine-info.ts';
export { dapt } from './repair/dapt.ts';
export { dpo } from './repair/dpo.ts';
export { forecastRepair, type RepairForecast } from './repair/forecast-repair.ts';
export { type IRepairOptions, irepair } from './repair/irepair.ts';
export type { KlOptions, KlTerm, RepairMethod, RepairMethodName, SliceRule } from './repair/method.ts';
export { type GenerateNormalOptions, generateNormal, type NormalTexts, type TextScoring } from './repair/normal-texts.ts';
export { npo } from './repair/npo.ts';
export type { LoraOptions, RepairOptions, RepairPreset, ResolvedOptions, TrainingOrder } from './repair/options.ts';
export { PUBLISHED_SOURCES, type PublishedModel, type PublishedSource, publishedOptions } from './repair/published.ts';
export { ReferenceCache } from './repair/reference-cache.ts';
export { repair } from './repair/repair.ts';
export type { LeftOut, NormalText, RepairData } from './repair/repair-data.ts';
export { type RepairCost, type RepairResult, type StepLog, sensitivityTable, type ValidationPoint } from './repair/result.ts';
export { sft } from './repair/sft.ts';
export type { StepCost, TrainingLogLine, TrainingLogOptions } from './repair/training-log.ts';
export { type ReportFiles, writeReport } from './report/write-report.ts';
export { type Budget, resolveBudget } from './select/budget.ts';
export { type CcsOptions, ccs } from './select/ccs.ts';
export { type D2Options, d2 } from './select/d2.ts';
export { type DeduplicateOptions, deduplicate } from './select/deduplicate.ts';
export { type Choice, defineSelector, type SelectorDefinition, type Timed } from './select/define-selector.ts';
export type { DifficultyScore, FeatureOf } from './select/difficulty.ts';
export { type FacilityLocationOptions, facilityLocation } from './select/facility-location.ts';
export {
  type FacilityLocationGreedyOptions,
  type FacilityLocationGreedyResult,
  facilityLocationGreedy,
} from './select/facility-location-greedy.ts';
export { type GrandOptions, grand } from './select/grand.ts';
export { type HerdingOptions, type HerdingRule, herding } from './select/herding.ts';
export { type KCenterOptions, kCenter } from './select/k-center.ts';
export { type KCenterGreedyOptions, type KCenterGreedyResult, kCenterGreedy } from './select/k-center-greedy.ts';
export { type KMeansOptions, type KMeansResult, kMeans } from './select/k-means.ts';
export { type MiniBatchKMeansOptions, type MiniBatchKMeansResult, miniBatchKMeans } from './select/mini-batch-k-means.ts';
export { type ModerateBy, type ModerateFeature, type ModerateOptions, moderate } from './select/moderate.ts';
export { type NearDuplicatesOptions, type NearDuplicatesResult, nearDuplicates } from './select/near-duplicates.ts';
export { type NearestCentroidsOptions, type NearestCentroidsResult, nearestCentroids } from './select/nearest-centroids.ts';
export {
  type Metric,
  type NearestNeighboursOptions,
  type NearestNeighboursResult,
  nearestNeighbours,
} from './select/nearest-neighbours.ts';
export { type PcaOptions, type PcaResult, pca } from './select/pca.ts';
export { random } from './select/random.ts';
export type { NonFinite } from './select/rank.ts';
export { type SapsAllocation, type SapsMode, type SapsOptions, saps } from './select/saps.ts';
export { type SelectRequest, selectIndices } from './select/select.ts';
export type {
  FeatureKind,
  FeatureTypes,
  PhaseWork,
  Preset,
  Selection,
  SelectionInput,
  SelectOptions,
  Selector,
  SelectorLabel,
  SelectorName,
} from './select/selector.ts';
export type { Space } from './select/space.ts';
export { type StratifiedBy, type StratifiedFeature, type StratifiedOptions, stratified } from './select/stratified.ts';
export { uniform } from './select/uniform.ts';
export type {
  CellKind,
  CellMetrics,
  CellResult,
  Figure as CellFigure,
  Machine,
  PhaseTime,
  RepairSummary,
  SelectionSummary,
} from './study/cell-result.ts';
export type { RunStudyOptions, StudyProgress, StudySummary } from './study/run-study.ts';
export { type PoolSelection, type SelectFromPoolOptions, select } from './study/select-records.ts';
export { runStudy } from './study/study.ts';
export { loadTokenizer } from './tokenizer/load.ts';
export type { EncodeOptions, Tokenizer } from './tokenizer/tokenizer.ts';
