import Convex
import LinearAlgebra
import Tensors

/// How long, and by which steps, stochastic gradients train.
package struct TrainingSchedule: Sendable {
  /// Samples in a step.
  package var batch = 128
  /// Passes over the data in a trial.
  package var epochs = 10
  package var trials = 1
  package var learningRate = 0.01
  /// The factor of the learning rate after each epoch.
  package var learningRateDecay = 1.0
  /// Seconds for each trial, without the time of its checks.
  package var maximumSeconds = Double.infinity
  /// Iterations from check to check; `nil` for those of an epoch.
  package var checkEvery: Int?
  package var seed = 0
  package init() {}
}

/// The results of a check.
package struct TrainingRow: Sendable {
  /// From 1.
  package var trial: Int
  /// Steps so far, and passes over the data.
  package var iteration: Int
  package var epoch: Double
  /// Seconds of training, without the time of checks.
  package var seconds: Double
  package var objective: Double
  package var loss: Double
  /// `nil` for regression.
  package var accuracy: Double?
  package var validationLoss: Double?
  package var validationAccuracy: Double?

  /// The numbers by which the best of several trials is chosen, more being better: each decides if those before it are
  /// equal.
  var merits: [Double] {
    [validationAccuracy, validationLoss.map { -$0 }, -objective].compactMap { $0 }
  }
}

/// Trains a model from several beginnings, and keeps the best.
package struct StochasticTraining {
  private let model: any StochasticModel
  private let targets: Targets
  private let validation: Targets?
  private let beta: Double
  private let schedule: TrainingSchedule

  package init(
    _ model: any StochasticModel, _ targets: Targets, validation: Targets?, beta: Double,
    _ schedule: TrainingSchedule
  ) {
    self.model = model
    self.targets = targets
    self.validation = validation
    self.beta = beta
    self.schedule = schedule
  }

  /// Runs all trials and leaves the model with the weights of the best. `observe` receives every check; without it
  /// there is one check at the end of each trial. `tell` is called at the beginning of each epoch. Throws
  /// `Failure.data` if every trial diverges.
  package func run(
    tell: (_ trial: Int, _ epoch: Int) -> Void = { _, _ in },
    observe: ((TrainingRow) -> Void)? = nil
  ) throws -> TrainingRow {
    var best: (row: TrainingRow, weights: [[Float]])?
    for trial in 1...schedule.trials {
      let row = Threads.withSerialBLAS { self.trial(trial, tell, observe) }
      guard row.objective.isFinite, row.merits.allSatisfy(\.isFinite) else { continue }
      if let best, !best.row.merits.lexicographicallyPrecedes(row.merits) { continue }
      best = (row, model.weights())
    }
    guard let best else {
      throw Failure.data(
        "\(schedule.trials == 1 ? "training" : "every trial") diverged: a smaller --learning-rate "
          + "is needed than \(schedule.learningRate), or beta or the data are too large")
    }
    model.restore(best.weights)
    return best.row
  }

  /// Iterations from one check for finite weights to the next; the end of an epoch has one too.
  private static let finiteEvery = 64

  private func trial(
    _ trial: Int, _ tell: (Int, Int) -> Void, _ observe: ((TrainingRow) -> Void)?
  ) -> TrainingRow {
    let n = model.samples
    let batch = min(schedule.batch, n)
    let batches = (n + batch - 1) / batch
    let period = schedule.checkEvery ?? batches
    var random = RandomSource(seed: schedule.seed, stream: 2 * trial - 1)
    model.initialize(&random)
    // The order of samples is another stream: networks of any size see the same batches.
    random = RandomSource(seed: schedule.seed, stream: 2 * trial)
    var order = (0..<n).map { Int32($0) }
    var (iteration, seconds, isOut) = (0, 0.0, false)
    var row: TrainingRow?
    if let observe {
      let first = check(trial, 0, epoch: 0, seconds: 0)
      observe(first)
      row = first
    }
    var rate = schedule.learningRate
    var start = Budget.now()
    for epoch in 1...schedule.epochs {
      tell(trial, epoch)
      if batches > 1 { random.shuffle(&order) }
      for first in stride(from: 0, to: n, by: batch) {
        order.withUnsafeBufferPointer {
          model.step($0.baseAddress! + first, min(batch, n - first), rate: rate)
        }
        iteration += 1
        let elapsed = seconds + Budget.now() - start
        // A trial that diverged does not recover.
        let isDue = iteration % StochasticTraining.finiteEvery == 0 || first + batch >= n
        isOut = elapsed >= schedule.maximumSeconds || isDue && !model.isFinite
        if let observe, iteration % period == 0 {
          seconds = elapsed
          let next = check(
            trial, iteration, epoch: Double(iteration) / Double(batches), seconds: seconds)
          observe(next)
          row = next
          isOut = isOut || !next.objective.isFinite
          start = Budget.now()
        }
        if isOut { break }
      }
      if isOut { break }
      rate *= schedule.learningRateDecay
    }
    if let row, row.iteration == iteration { return row }
    seconds += Budget.now() - start
    let last = check(
      trial, iteration, epoch: Double(iteration) / Double(batches), seconds: seconds)
    observe?(last)
    return last
  }

  private func check(_ trial: Int, _ iteration: Int, epoch: Double, seconds: Double) -> TrainingRow
  {
    let predictions = model.predictions()
    let loss = targets.lossValue(predictions)
    let held = validation == nil ? nil : model.validationPredictions()
    return TrainingRow(
      trial: trial, iteration: iteration, epoch: epoch, seconds: seconds,
      objective: loss + (beta == 0 ? 0 : beta * model.penalty), loss: loss,
      accuracy: targets.accuracy(predictions),
      validationLoss: held.flatMap { held in validation?.lossValue(held) },
      validationAccuracy: held.flatMap { held in validation?.accuracy(held) })
  }
}

extension RandomSource {
  /// Puts `values` into a random order, all being equally likely (Fisher and Yates).
  mutating func shuffle(_ values: inout [Int32]) {
    for i in stride(from: values.count - 1, to: 0, by: -1) { values.swapAt(i, below(i + 1)) }
  }
}
