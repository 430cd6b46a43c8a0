import LinearAlgebra
import Schema

extension GatedLossSolver {
  /// A solve by the interior-point method; if there are many patterns, over those that matter.
  struct InteriorRun {
    private let run: Run
    private let term: DualTerm
    private let problem: SplitProgram
    private let loss: any Loss
    private let data: ArrangementData
    private let products: PatternProducts
    /// X Xᵀ.
    private let kernel: Matrix
    private let features: PatternFeatures
    /// All distinct patterns.
    private let all: [Int]
    private var outputs: Int { problem.outputs.count }

    /// The largest order of the systems, samples times outputs: with one output, and with several, whose coupling takes
    /// as many right-hand sides as there are samples. A step must end soon after its time is over.
    private static let (largestOrder, largestShared) = (4000, 1500)
    /// The most patterns that are taken all at once.
    private static let fewPatterns = 2000

    /// Returns nil if the norm is not a length or if the systems would be too large.
    init?(_ run: Run, of solver: GatedLossSolver) {
      let problem = solver.problems[run.problem]
      guard problem.regularizer is GroupNorm,
        solver.data.samples * problem.outputs.count
          <= (problem.outputs.count == 1 ? InteriorRun.largestOrder : InteriorRun.largestShared),
        let term = DualTerm(solver.loss, problem.targets)
      else { return nil }
      (self.run, self.term, self.problem) = (run, term, problem)
      (loss, data, features) = (solver.loss, solver.data, solver.features)
      (products, kernel) = (solver.products, solver.kernel)
      all = Array(0..<products.count)
    }

    /// Whether its systems are too small for several threads.
    var isSmall: Bool { data.samples * outputs < 600 }

    /// The largest norm of each pattern's groups at ν, n × C, and the norms that the constraints bound.
    private func price(_ nu: Matrix) -> (norms: [Double], largest: [Double]) {
      if outputs == 1 {
        var norms = [Double](repeating: 0, count: all.count)
        products.norms(nu.base, all, into: &norms)
        return (norms, [problem.norms.largest(nu, of: norms)])
      }
      problem.norms.compute(nu)
      let values = problem.norms.values
      let norms = all.map { i in (0..<values.columns).reduce(0) { max($0, values[i, $1]) } }
      return (norms, problem.norms.largest(nu))
    }

    func solve(_ report: () -> Void) -> Status {
      if let limit = run.budget.exhausted { return limit }
      let norms = price(problem.origin).norms
      let members =
        all.count <= InteriorRun.fewPatterns
        ? all
        : Array(
          all.sorted { (norms[$0], $1) > (norms[$1], $0) }.prefix(InteriorRun.fewPatterns / 2))
      var isInside = [Bool](repeating: false, count: all.count)
      for i in members { isInside[i] = true }
      let targets = problem.targets
      let height = loss.value(Matrix(targets.rows, targets.columns), targets)
      func begin() -> LossInteriorPoint {
        LossInteriorPoint(
          products, kernel: kernel, term: term,
          isJoint: outputs > 1 && !problem.regularizer.isSeparable, beta: run.beta,
          members: all.filter { isInside[$0] }, origin: problem.origin, height: height)
      }
      var method = begin()
      var (best, idle) = (Double.infinity, 0)
      while true {
        let nu = method.nu
        loss.restrict(nu, problem.targets)
        let (norms, largest) = price(nu)
        run.point.offer(dual: nu, largest: largest)
        let primal = offer(method)
        report()
        if run.isReached { return .optimal }
        if let limit = run.budget.exhausted { return limit }
        run.budget.count()

        let inside = method.members.reduce(0) { max($0, norms[$1]) }
        let restricted = gap(primal, nu, inside)
        // Once the working problem is solved, it begins anew with the violated patterns and those near their bound.
        let missing = all.filter { !isInside[$0] && norms[$0] > run.beta }
        if restricted < max(0.5 * run.rule.gap, 1e-3), !missing.isEmpty {
          for i in all where norms[i] > 0.95 * run.beta { isInside[i] = true }
          method = begin()
          (best, idle) = (.infinity, 0)
          continue
        }
        idle = restricted < 0.9 * best ? 0 : idle + 1
        best = min(best, restricted)
        if idle > 15 || !method.iterate() { return .stalled }
      }
    }

    /// The relative gap over the working patterns, whose largest norm at ν is `largest`.
    private func gap(_ primal: Double, _ nu: Matrix, _ largest: Double) -> Double {
      relativeGap(
        primal: primal,
        dual: loss.dualValue(of: nu, problem.targets, beta: run.beta, largest: largest))
    }

    /// Offers the iterate's weights, without those shorter than 10⁻⁵ of the longest if the objective hardly changes;
    /// returns the objective of all weights.
    private func offer(_ method: LossInteriorPoint) -> Double {
      let targets = problem.targets
      let lengths = method.lengths
      func penalty(_ kept: some Sequence<Int>) -> Double {
        run.beta * kept.reduce(0) { $0 + lengths[$1].reduce(0, +) }
      }
      let predictions = method.predictions
      let primal = loss.value(predictions, targets) + penalty(lengths.indices)
      guard primal < run.point.primal else { return primal }
      let sizes = lengths.map { $0.max() ?? 0 }
      let least = 1e-5 * (sizes.max() ?? 0)
      let kept = sizes.indices.filter { sizes[$0] > least }
      let weights = method.weights
      let part = Matrix(kept.count * outputs, data.dimension)
      for (k, i) in kept.enumerated() {
        part.row(k * outputs).update(
          from: weights.row(i * outputs), count: outputs * data.dimension)
      }
      let fitted = self.predictions(part, kept.map { method.members[$0] })
      let value = loss.value(fitted, targets) + penalty(kept)
      func offer(_ value: Double, _ kept: [Int], _ weights: Matrix, _ predictions: Matrix) {
        run.point.offer(
          primal: value, active: kept.reduce(0) { $0 + lengths[$1].count { $0 > least } },
          members: kept.map { features.members[method.members[$0]] }, weights: weights,
          predictions: predictions)
      }
      if value <= primal + 0.05 * run.rule.gap * abs(primal) {
        offer(value, kept, part, fitted)
      } else {
        offer(primal, Array(lengths.indices), weights, predictions)
      }
      return primal
    }

    /// ŷ (n × C) of the weights of the patterns `members`: rows of d, with the outputs of a pattern one after another.
    private func predictions(_ weights: Matrix, _ members: [Int]) -> Matrix {
      let result = Matrix(data.samples, outputs)
      let (own, images) = (
        Matrix(members.count, data.dimension), Matrix(members.count, data.samples)
      )
      for c in 0..<outputs {
        for i in members.indices {
          own.row(i).update(from: weights.row(i * outputs + c), count: data.dimension)
        }
        products.images(own, members, into: images)
        for i in members.indices {
          let row = images.row(i)
          for j in 0..<data.samples { result[j, c] += row[j] }
        }
      }
      return result
    }
  }
}
