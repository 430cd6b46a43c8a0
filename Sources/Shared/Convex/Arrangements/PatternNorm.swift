/// The norm of the weights of a program over patterns with several outputs. For one output both are the
/// same.
package enum PatternNorm: String, CaseIterable, Sendable {
  /// Σ_{i,c} ‖w_ic‖: one group for each pattern and output.
  case group
  /// Σ_i ‖W_i‖_*, W_i = [w_i1 … w_iC] (Sahiner, Ergen, Pauly & Pilanci 2021).
  case nuclear
}
