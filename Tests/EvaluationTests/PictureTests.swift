import Evaluation
import Images
import Tensors
import Testing

private func network(
  _ filters: [[Double]], _ weights: [Double], _ metadata: [String: String],
  whiten: Tensor? = nil
) throws -> TrainedNetwork {
  let lengths = filters.map { $0.reduce(0) { $0 + $1 * $1 }.squareRoot() }
  var bundle = networkBundle(
    filters: zip(filters, lengths).map { filter, length in filter.map { $0 / length } },
    weights: [weights], regions: nil, d: filters[0].count, metadata: metadata)
  bundle.tensors["whiten"] = whiten
  return try TrainedNetwork(bundle)
}

/// The colour in the middle of pixel (x, y) of the first filter of a picture with `side` pixels.
private func color(_ picture: Picture, _ x: Int, _ y: Int, zoom: Int) -> [UInt8] {
  (0..<picture.channels).map { picture[3 + x * zoom + zoom / 2, 3 + y * zoom + zoom / 2, $0] }
}

@Test func filtersAreDrawnInOrderAndScale() throws {
  // 2 × 2 gray filters; the second has the larger weight, so that it comes first.
  let picture = try network(
    [[1, 1, 1, 1], [1, -0.5, 0, -1]], [0.5, -3], ["channels": "1", "size": "2"]
  ).filterPicture()
  #expect(picture.channels == 1)
  // Below each is its number.
  #expect(picture.width == 2 * 43 + 3 && picture.height == 53 + 3)
  #expect(color(picture, 0, 0, zoom: 20) == [255])
  #expect(color(picture, 1, 0, zoom: 20) == [64])
  #expect(color(picture, 0, 1, zoom: 20) == [128])
  #expect(color(picture, 1, 1, zoom: 20) == [0])
  #expect(picture[0, 0, 0] == 255)
}

@Test func filtersAreFewAndDifferent() throws {
  // Eight directions, each four times, nearly the same; the last direction has the largest weight.
  let filters = (0..<32).map { j -> [Double] in
    var filter = [Double](repeating: 0.01 * Double(j % 3), count: 9)
    filter[j / 4] = 1
    return filter
  }
  let network = try network(
    filters, (0..<32).map { 1 + Double($0) }, ["channels": "1", "size": "3"])
  let all = try network.filterPicture()
  // A 3 × 3 grid of tiles of 39 pixels and a number.
  #expect(all.width == 3 * 42 + 3 && all.height == 3 * 52 + 3)
  #expect(color(all, 1, 2, zoom: 13) == [255])
  let two = try network.filterPicture(count: 2)
  #expect(two.width == 2 * 42 + 3 && two.height == 52 + 3)
  // The number of the first tile is 31: some pixels below it are black.
  let dark = (3..<42).flatMap { x in (44..<53).map { two[x, $0, 0] } }.count { $0 == 0 }
  #expect(dark > 10)
  // The opposite of a filter is another filter.
  let pair = try TestNetwork.opposed()
  #expect(try pair.filterPicture().width == 2 * 43 + 3)
}

private enum TestNetwork {
  static func opposed() throws -> TrainedNetwork {
    try network([[1, 1, -1, 1], [-1, -1, 1, -1]], [1, 1], ["channels": "1", "size": "2"])
  }
}

@Test func filtersHaveColoursAndNoBias() throws {
  // Channel by channel, then the constant feature, which is the largest and not drawn.
  let picture = try network(
    [[1, 0, -1, 9]], [1], ["channels": "3", "flatten": "true", "height": "1", "width": "1"]
  ).filterPicture()
  #expect(color(picture, 0, 0, zoom: 40) == [255, 128, 0])
}

@Test func whitenedFiltersAreShownOnPixels() throws {
  // W u for u = (1, 0), the third coordinate being the constant feature.
  let whiten = Tensor([0.25, 7, -0.5, 7, 0, 7, 0.5, 7], shape: [4, 2])
  let picture = try network(
    [[1, 0, 5]], [1], ["channels": "1", "size": "2"], whiten: whiten
  ).filterPicture()
  #expect(color(picture, 0, 0, zoom: 20) == [191])
  #expect(color(picture, 1, 0, zoom: 20) == [0])
  #expect(color(picture, 0, 1, zoom: 20) == [128])
  #expect(color(picture, 1, 1, zoom: 20) == [255])
}

@Test func filtersThatAreNoPictures() throws {
  func complaint(_ filter: [Double], _ metadata: [String: String]) throws -> String {
    let network = try network([filter], [1], metadata)
    do {
      _ = try network.filterPicture()
      return ""
    } catch let failure as Failure { return failure.message }
  }
  #expect(try complaint([1, 1], ["size": "1"]).contains("no \"channels\""))
  #expect(try complaint([1, 1], ["channels": "1"]).contains("no \"size\""))
  #expect(try complaint([1, 1], ["channels": "2", "size": "1"]).contains("expected 1 or 3"))
  #expect(try complaint([1, 1], ["channels": "1", "size": "-1"]).contains("whole number above 0"))
  #expect(try complaint([1, 1], ["channels": "1", "size": "2"]).contains("2 columns"))
}

@Test func theConfusionMatrixIsDrawnForManyAndForFewClasses() {
  for classes in [1, 2, 10, 30] {
    let names = (0..<classes).map { "class \($0)" }
    var counts = [Int](repeating: 0, count: classes * classes)
    for c in 0..<classes { counts[c * classes + c] = 1000 }
    let picture = ConfusionMatrix(names: names, counts: counts).picture
    #expect(picture.channels == 3)
    // The diagonal is blue, and nothing else is.
    var blue = 0
    for y in 0..<picture.height {
      for x in 0..<picture.width where picture[x, y, 0] == 33 && picture[x, y, 2] == 160 {
        blue += 1
      }
    }
    #expect(blue > 0)
    let share = Double(blue) / Double(picture.width * picture.height)
    #expect(share < 1 / Double(classes))
  }
}

@Test func reportsAsTextAndAsJSON() {
  var report = Report()
  report.add("samples", 3)
  report.add("loss", 0.1 + 0.2)
  report.add("gap", 1e-9)
  report.add("bad", Double.infinity)
  #expect(report.text == "samples\t3\nloss\t0.30000000000000004\ngap\t1e-09\nbad\tinf\n")
  #expect(
    report.json
      == "{\"samples\": 3, \"loss\": 0.30000000000000004, \"gap\": 1e-09, \"bad\": null}\n")
}
