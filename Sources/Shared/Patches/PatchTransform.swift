import LinearAlgebra
import Schema

/// Turns batches of images into rows of features: cuts, normalises, centres, whitens, appends the
/// constant.
///
/// Holds the memory of a batch: each thread needs one.
final class PatchTransform {
  /// Images in a batch: enough for matrices of a few hundred rows, for which BLAS is efficient.
  static func batch(_ grid: PatchGrid) -> Int { max(1, 256 / grid.count) }

  /// Numbers in a row.
  let width: Int
  /// Of one image as it comes.
  private let pixelsPerImage: Int
  private let batch: Int
  let rowsPerImage: Int
  private let grid: PatchGrid
  private let cutter: PatchCutter
  private let mean: [Double]?
  private let whiten: Matrix?
  private let bias: Bool
  private let standardization: Standardization?
  /// The rows as they are cut, if whitening writes them on to `result`.
  private let raw: Matrix?
  private let result: Matrix

  /// Without `fit`, patches are neither centred nor whitened. `batch` is the number of images in a batch, if it is not
  /// that of the grid.
  init(
    grid: PatchGrid, steps: PatchSteps, layers: LayerStack, fit: PatchFit?, bias: Bool,
    order: [Int], batch: Int? = nil
  ) {
    self.grid = grid
    self.bias = bias
    self.batch = batch ?? PatchTransform.batch(grid)
    rowsPerImage = order.count
    pixelsPerImage = layers.layers.first?.recipe?.shape.count ?? grid.image.count
    cutter = PatchCutter(grid: grid, steps: steps, layers: layers, order: order)
    mean = fit?.mean
    whiten = fit?.whiten
    standardization = fit?.standardization
    width = PatchTransform.width(grid: grid, fit: fit, bias: bias)
    let rows = self.batch * order.count
    raw = whiten == nil ? nil : Matrix(rows, grid.features)
    result = Matrix(rows, width)
  }

  /// That of a whole recipe, by default in the order in which patches are cut.
  convenience init(_ recipe: PatchRecipe, order: [Int]? = nil, batch: Int? = nil) {
    self.init(
      grid: recipe.grid, steps: recipe.steps, layers: recipe.layers, fit: recipe.fit,
      bias: recipe.steps.bias, order: order ?? Array(0..<recipe.grid.count), batch: batch)
  }

  static func width(grid: PatchGrid, fit: PatchFit?, bias: Bool) -> Int {
    (fit?.whiten?.columns ?? grid.features) + (bias ? 1 : 0)
  }

  /// The rows of `count` images that lie one after another at `pixels`: K rows for each (as many as the order has), valid until the next call.
  /// They are the images from `place` on of a batch, and no more than the batch has there.
  ///
  /// Products of matrices always have the size of a whole batch, so that the numbers of an image do not depend
  /// on how many others come with it.
  func rows(
    _ pixels: UnsafePointer<UInt8>, count: Int, place: Int = 0
  ) -> UnsafeMutablePointer<Double> {
    let d = grid.features
    let cut = raw ?? result
    let rows = place * rowsPerImage..<(place + count) * rowsPerImage
    for image in 0..<count {
      cutter.cut(
        pixels + image * pixelsPerImage, into: cut.row((place + image) * rowsPerImage),
        leading: cut.columns)
    }
    mean?.withUnsafeBufferPointer { mean in
      for k in rows {
        let row = cut.row(k)
        for j in 0..<d { row[j] -= mean[j] }
      }
    }
    if let whiten, let raw {
      // Y = (X − 1 meanᵀ) W
      gemm(
        raw.rows, whiten.columns, d, raw.base, .plain, whiten.base, .plain, result.base, ldc: width)
    }
    if bias { for k in rows { result[k, width - 1] = 1 } }
    if let standardization {
      standardization.shift.withUnsafeBufferPointer { shift in
        standardization.divisor.withUnsafeBufferPointer { divisor in
          for k in rows {
            let row = result.row(k)
            for j in 0..<width { row[j] = (row[j] - shift[j]) / divisor[j] }
          }
        }
      }
    }
    return result.row(rows.lowerBound)
  }
}
