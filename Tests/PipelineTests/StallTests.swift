import Testing

/// Small problems whose optimum once was not reached.
@Suite struct StallTests {
  @Test(arguments: [
    // Weights of 80 for targets of 8, at which Newton's steps in ŷ went astray.
    "printf '0.09,7.86\\n-1.37,-2.78\\n' | tensor from-csv --targets 2 | arrangements --exact | "
      + "solve --activation relu --loss huber --beta 0.053",
    "printf -- '-0.52,-1\\n-0.19,-1\\n' | tensor from-csv --targets 2 | "
      + "solve --activation 0.09,0.5,0.47 --loss hinge --beta 0.019",
    "printf -- '1,0.5\\n-1,0.3\\n2,-1.4\\n0,1.1\\n' | tensor from-csv --targets 2 | "
      + "solve --activation 1,1,0 --loss huber --beta 0.02",
    "printf -- '100.3,99.2,1\\n101.1,98.7,-1\\n99.4,100.9,1\\n98.8,100.2,-1\\n' | "
      + "tensor from-csv --targets 3 | solve --activation 1,1,0 --loss logistic --beta 3",
    "printf -- '100.3,99.2,1\\n101.1,98.7,-1\\n99.4,100.9,1\\n98.8,100.2,-1\\n' | "
      + "tensor from-csv --targets 3 | arrangements --exact | "
      + "solve --activation relu --loss hinge --beta 0.01",
  ])
  func reachesTheOptimum(_ script: String) throws {
    let run = try Tools.shell("\(script) --gap 1e-6 --max-seconds 20 --require-optimal >/dev/null")
    #expect(run.status == 0, "\(run.errors)")
  }
}
