import Schema
import Tensors
import Testing

private func table(
  _ features: [String]?, _ x: [Double], single: Bool = false, constant: Bool = false
) -> Bundle {
  let width = (features?.count ?? 2) + (constant ? 1 : 0)
  let shape = [x.count / width, width]
  var bundle = Bundle(
    kind: .dataset,
    tensors: ["x": single ? Tensor(x.map { Float($0) }, shape: shape) : Tensor(x, shape: shape)])
  bundle.name = "data"
  bundle.metadata["features"] = features.map(quotedArray)
  if constant { bundle.metadata[.bias] = true }
  return bundle
}

private func complaint(_ model: Bundle, _ data: Bundle) throws -> String {
  do {
    _ = try DataModel(model).conform(data)
    return ""
  } catch Failure.data(let message) { return message }
}

@Test func featuresAreTakenByName() throws {
  let model = table(["a", "", "b", ""], [0, 0, 0, 0])
  let data = table(["b", "", "a", "c", ""], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
  let result = try DataModel(model).conform(data)
  // Features without a name keep their order.
  #expect(result[.x]?.doubles == [3, 2, 1, 5, 8, 7, 6, 10])
  #expect(try result.featureNames() == ["a", "", "b", ""])
  #expect(try complaint(table(["a", "d"], [0, 0]), data).contains("data has no feature \"d\""))
  // Nothing is known of features without names.
  #expect(try DataModel(table(nil, [0, 0])).conform(data)[.x]?.doubles == data[.x]?.doubles)
  var deep = data
  deep.tensors["x"] = Tensor((0..<10).map { Double($0) }, shape: [1, 2, 5])
  #expect(try complaint(model, deep).contains("F64 [1, 2, 5]"))
}

@Test func theConstantIsAddedOrTakenAway() throws {
  let (with, without) = (
    table(["a", "b"], [3, 4, 1], constant: true), table(["b", "a"], [4, 3])
  )
  #expect(try DataModel(with).conform(without)[.x]?.doubles == [3, 4, 1])
  let less = try DataModel(without).conform(with)
  #expect(less[.x]?.doubles == [4, 3] && less.metadata["bias"] == nil)
}

@Test(arguments: [false, true]) func rawFeaturesAreStandardised(_ isSingle: Bool) throws {
  var model = table(["a", "b"], [0, 0])
  model[.shift] = Tensor([0.1, 10])
  model[.divisor] = Tensor([3.0, 7])
  let raw = table(["b", "a"], [1, 2, 3, 4], single: isSingle)
  let result = try DataModel(model).conform(raw)
  let expected = [(2 - 0.1) / 3, (1.0 - 10) / 7, (4 - 0.1) / 3, (3.0 - 10) / 7]
  #expect(result[.x]?.doubles == (isSingle ? expected.map { Double(Float($0)) } : expected))
  #expect(result[.shift]?.doubles == [0.1, 10])
  // Once is enough, and the numbers that did it go with their features.
  #expect(try DataModel(model).conform(result)[.x]?.doubles == result[.x]?.doubles)
  var exchanged = table(["b", "a"], [1, 2])
  exchanged[.shift] = Tensor([10, 0.1])
  exchanged[.divisor] = Tensor([7.0, 3])
  let put = try DataModel(model).conform(exchanged)
  #expect(put[.shift]?.doubles == [0.1, 10] && put[.divisor]?.doubles == [3, 7])
  #expect(put[.x]?.doubles == [2, 1])
  // Gates look at the features as they are.
  var gates = raw
  gates.metadata["kind"] = "arrangements"
  #expect(try complaint(model, gates).contains("data has gates"))
  #expect(try complaint(model, table(nil, [1, 2, 3, 4])) == "")
  #expect(
    try complaint(model, table(["a", "b", "c"], [1, 2, 3])) == "")
  var wide = table(nil, [1, 2, 3, 4])
  wide.tensors["x"] = Tensor([1.0, 2, 3], shape: [1, 3])
  #expect(try complaint(model, wide).contains("\"shift\" of data has 2 features"))
}

@Test func aStandardisationIsWholeAndPositive() throws {
  for (shift, divisor, words) in [
    ([1.0, 2], nil, "no tensor \"divisor\""), (nil, [1.0, 2], "no tensor \"shift\""),
    ([1, 2], [1, 0], "holds 0.0"), ([1, 2], [1, -1], "holds -1.0"),
    ([1, 2], [1], "F64 [1]"), ([1, .nan], [1, 1], "not finite"),
  ] as [([Double]?, [Double]?, String)] {
    var bundle = table(nil, [1, 2])
    bundle[.shift] = shift.map { Tensor($0) }
    bundle[.divisor] = divisor.map { Tensor($0) }
    #expect(throws: Failure.self) { try FittedStatistics(bundle) }
    do { _ = try Standardization(bundle) } catch Failure.data(let message) {
      #expect(message.contains(words), "\(message)")
    }
  }
}

@Test func labelsCountTheClassesOfTheModel() throws {
  func labelled(_ classes: String?, _ labels: [Int32]) -> Bundle {
    var bundle = table(nil, labels.flatMap { _ in [0.0, 0] })
    bundle.metadata["classes"] = classes
    bundle[.labels] = Tensor(labels)
    return bundle
  }
  let model = labelled("cat,dog,frog", [0, 1, 2])
  let other = try DataModel(model).conform(labelled("[\"frog\",\"cat\"]", [0, 1, 0]))
  #expect(other[.labels]?.doubles == [2, 0, 2])
  #expect(try other.classNames() == ["cat", "dog", "frog"])
  #expect(try DataModel(model).conform(labelled(nil, [0, 1]))[.labels]?.doubles == [0, 1])
  // A name that no sample has does no harm.
  #expect(try complaint(model, labelled("cat,cow", [0, 0])) == "")
  #expect(
    try complaint(model, labelled("cat,cow", [0, 1])).contains("no class \"cow\" among them"))
  #expect(try complaint(model, labelled("cat,cow", [0, 2])).contains("expected 0 to 1"))
}

@Test func namesOfClassesAreAnArrayOrApartByCommas() throws {
  func names(_ text: String?) throws -> [String]? {
    try Bundle(metadata: ["classes": text].compactMapValues(\.self)).classNames()
  }
  #expect(try names("a,b c") == ["a", "b c"])
  #expect(try names("[\"a,b\",\"c\"]") == ["a,b", "c"])
  #expect(try names("[a,b]") == ["[a", "b]"])
  #expect(try names(nil) == nil && names("") == nil && names("[]") == nil)
  for bad in ["[\"a\",", "[\"a\",\"a\"]", "a,a", "a,,b", "[\"\"]"] {
    #expect(throws: Failure.self, "\(bad)") { try names(bad) }
  }
}

@Test func namesOfSamplesArePadded() throws {
  let names = ["a", "", "größer", "x"]
  var bundle = Bundle(tensors: ["names": try Tensor(names: names)])
  #expect(bundle[.names]?.shape == [4, 8])
  #expect(try bundle.sampleNames(4) == names)
  #expect(throws: Failure.self) { try bundle.sampleNames(3) }
  bundle[.names] = Tensor([UInt8(0xFF)], shape: [1, 1])
  #expect(throws: Failure.self) { try bundle.sampleNames(1) }
}
