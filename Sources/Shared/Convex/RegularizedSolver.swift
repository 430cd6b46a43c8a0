import LinearAlgebra
import Schema

/// A pair of a primal and a dual value.
package protocol Bounded {
  var primal: Double { get }
  var dualBound: Double { get }
}

extension Bounded {
  package var gap: Double { relativeGap(primal: primal, dual: dualBound) }
}

/// A solver that trains the networks of one program for any number of β, each from what it found before.
package protocol RegularizedSolver: AnyObject {
  /// A point from which a solve can begin.
  associatedtype Start
  /// The result of a solve.
  associatedtype Point: Bounded
  /// The form in which the result is written.
  associatedtype Certified: CertifiedSolution
  /// Samples that a network can be applied to.
  associatedtype Data

  /// The smallest β for which the zero network is optimal.
  var betaMax: Double { get }

  /// The best points for one β; `trace` receives each check.
  func point(
    beta: Double, from start: Start, rule: StoppingRule, budget: Budget, trace: (TraceRow) -> Void
  ) -> Point

  /// The same, certified on the data.
  func solution(
    beta: Double, from start: Start, rule: StoppingRule, budget: Budget, trace: (TraceRow) -> Void
  ) -> Certified

  /// A point that was found for β, certified on the data.
  func certified(_ point: Point, beta: Double, rule: StoppingRule, budget: Budget) -> Certified

  func start(at point: Point) -> Start

  /// ŷ (n × C) of the network at `point`.
  func predictions(_ point: Point, on data: Data) -> Matrix

  /// ½‖ŷ − y‖² of the network at `point` over samples of which there are sums; for solvers of such sums only.
  func loss(_ point: Point, over sums: StatisticsTensors) -> Double
}

extension RegularizedSolver {
  package func loss(_ point: Point, over sums: StatisticsTensors) -> Double {
    preconditionFailure("a solver that takes samples")
  }

  /// The quality of the network at `point`.
  package func score(_ point: Point, on validation: Validation<Data>) -> ValidationScore {
    switch validation.held {
    case .samples(let data): validation.score(predictions(point, on: data))
    case .sums(let sums): ValidationScore(accuracy: nil, loss: loss(point, over: sums))
    }
  }
}

extension RegularizedSolver where Certified == Point {
  package func solution(
    beta: Double, from start: Start, rule: StoppingRule, budget: Budget, trace: (TraceRow) -> Void
  ) -> Certified {
    point(beta: beta, from: start, rule: rule, budget: budget, trace: trace)
  }

  package func certified(
    _ point: Point, beta: Double, rule: StoppingRule, budget: Budget
  ) -> Certified { point }
}
