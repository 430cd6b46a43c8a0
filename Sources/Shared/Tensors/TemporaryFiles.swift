import CFaults

/// The temporary files of this process, removed when a signal or a lack of memory ends it.
package enum TemporaryFiles {
  static func add(_ path: String) { _ = faults_add_temporary(path) }

  static func remove(_ path: String) { faults_remove_temporary(path) }

  /// May be called in a signal handler.
  package static func unlinkAll() { faults_unlink_temporaries() }
}
