import Images
import Tensors
import Testing

@Suite struct CIFARFormatTests {
  @Test func everyLabelHasAName() {
    for format in CIFARFormat.allCases {
      #expect(format.classes.count == format.labelCounts[format.labelByte])
      #expect(Set(format.classes).count == format.classes.count)
      #expect(format.classes.allSatisfy { !$0.contains(",") })
    }
    #expect(CIFARFormat.cifar10.classes[9] == "truck")
    #expect(CIFARFormat.cifar100.classes == CIFARFormat.cifar100.classes.sorted())
    #expect(CIFARFormat.cifar100.classes[47] == "maple_tree")
    #expect(CIFARFormat.cifar100Coarse.classes[19] == "vehicles_2")
  }

  @Test func recordsHaveTheirOfficialSizes() {
    #expect(CIFARFormat.cifar10.recordSize == 3073)
    #expect(CIFARFormat.cifar100.recordSize == 3074)
    #expect(CIFARFormat.cifar100Coarse.recordSize == 3074)
  }
}

@Suite struct SyntheticTexturesTests {
  private func make(
    _ count: Int, split: Split = .train, _ change: (inout Selection) -> Void = { _ in }
  ) throws -> ImageSet {
    var selection = Selection()
    change(&selection)
    return try SyntheticTextures.make(count, split: split, selection, Listener())
  }

  private func values(_ images: ImageSet, _ i: Int) -> [UInt8] {
    Array(UnsafeBufferPointer(start: images.image(i), count: images.shape.count))
  }

  @Test func classesTakeTurns() throws {
    let images = try make(25)
    #expect(images.labels == (0..<25).map { Int32($0 % 10) })
    #expect(images.classes.count == 10)
  }

  @Test func anImageDependsOnSeedSplitAndPlaceAlone() throws {
    let all = try make(30)
    let some = try make(40) {
      $0.classes = ["columns"]
      $0.range = 1..<2
    }
    #expect(some.index == [11])
    #expect(values(some, 0) == values(all, 11))
    #expect(try values(make(1), 0) != values(make(1, split: .test), 0))
    #expect(try values(make(1), 0) != values(make(1) { $0.seed = 1 }, 0))
  }

  /// Rows change from line to line, columns within a line: the textures are what they are called.
  @Test func orientationsShow() throws {
    let images = try make(200)
    func change(_ i: Int, _ dy: Int, _ dx: Int) -> Double {
      var sum = 0.0
      for y in 0..<30 {
        for x in 0..<30 {
          let difference = Double(images[i, 1, y, x]) - Double(images[i, 1, y + dy, x + dx])
          sum += difference * difference
        }
      }
      return sum
    }
    var right = 0
    for i in stride(from: 0, to: 200, by: 10) {
      right += change(i, 2, 0) > change(i, 0, 2) ? 1 : 0
      right += change(i + 1, 0, 2) > change(i + 1, 2, 0) ? 1 : 0
    }
    #expect(right >= 38)
  }
}
