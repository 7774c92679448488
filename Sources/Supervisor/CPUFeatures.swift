import QMP

/// What a guest's x86 CPUs tell it of themselves: the first one, and what the others do otherwise.
struct CPUFeatures: Equatable, Sendable {
    /// One of CPUID's registers.
    struct Register: Hashable, Sendable {
        var leaf: UInt32
        var subleaf: UInt32
        var name: String
    }

    var words: [Register: UInt32]
    /// Family, model and the like, by QEMU's names.
    var identity: [String: String]
    /// What is switched on, as QEMU spells it; known only where it was asked for.
    var names: Set<String> = []
    /// Of each CPU, by QEMU's names: which socket, core and thread it is.
    var places: [[String: Int]] = []
    /// Of the CPUs that are unlike the first one, by their numbers.
    var exceptions: [Int: CPUFeatures] = [:]

    init(
        words: [Register: UInt32],
        identity: [String: String] = [:],
        names: Set<String> = [],
        places: [[String: Int]] = []
    ) {
        // QEMUs know of different registers: what one does not know is zero there.
        self.words = words.filter { $0.value != 0 }
        self.identity = identity
        self.names = names
        self.places = places
    }

    /// Bits that `next` lacks: by name where names are known, else by their place in CPUID's registers.
    func lost(in next: CPUFeatures) -> [String] {
        var places: [String] = []
        for (register, bits) in words {
            let lost = bits & ~(next.words[register] ?? 0)
            for bit in 0..<32 where lost >> UInt32(bit) & 1 == 1 {
                let leaf = "CPUID \(String(register.leaf, radix: 16, uppercase: true))h.\(register.subleaf)"
                places.append("\(leaf) \(register.name) bit \(bit)")
            }
        }
        if places.isEmpty { return [] }
        let known = names.subtracting(next.names).sorted()
        return known.isEmpty || next.names.isEmpty ? places.sorted() : known
    }

    /// The CPU of a number.
    subscript(_ number: Int) -> CPUFeatures { exceptions[number] ?? self }

    /// Whose comparison says something that the first one's does not: none where all of a guest's are alike.
    func numbersToCompare(with next: CPUFeatures) -> [Int] {
        Set(exceptions.keys).union(next.exceptions.keys).sorted()
    }

    /// Which CPUs have another place in the next QEMU, as `CPU 1 is core-id 0, socket-id 1 instead of core-id 1`. A
    /// QEMU that is only asked has the first CPU alone.
    func moves(in next: CPUFeatures) -> [String] {
        zip(places, next.places).enumerated().compactMap { number, places in
            // Newer QEMUs know of more levels.
            let (old, new) = places
            let changed = old.keys.sorted().filter { new[$0] != nil && new[$0] != old[$0] }
            if changed.isEmpty { return nil }
            func text(_ place: [String: Int]) -> String {
                changed.map { "\($0) \(place[$0] ?? 0)" }.joined(separator: ", ")
            }
            return "CPU \(number) is \(text(new)) instead of \(text(old))"
        }
    }

    func hasMore(than other: CPUFeatures) -> Bool {
        words.contains { register, bits in bits & ~(other.words[register] ?? 0) != 0 }
    }

    /// What the guest has seen otherwise, as `family 15 becomes 6`.
    func differences(in next: CPUFeatures) -> [String] {
        identity.keys.sorted().compactMap { key in
            guard let old = identity[key], let new = next.identity[key], old != new else { return nil }
            return "\(key) \(old) becomes \(new)"
        }
    }
}

extension CPUFeatures {
    private static let numbers = ["family", "model", "stepping"]

    /// Asks a QEMU for its CPUs. Nil where its kind of CPU has no CPUID.
    init?(asking qmp: QMPClient, deadline: Duration) async throws {
        let cpus = try await qmp.execute(QueryCPUs(), deadline: deadline)
        guard let first = cpus.first else { return nil }
        do {
            self = try await CPUFeatures.features(of: first.path, qmp, deadline)
        } catch QMPError.refused {
            return nil
        }
        places = cpus.map(\.place)
        for (number, cpu) in cpus.enumerated().dropFirst() {
            let words = try await CPUFeatures.words(of: cpu.path, qmp, deadline)
            // Who they are is asked of those only that differ otherwise.
            if words == self.words { continue }
            exceptions[number] = try await CPUFeatures.features(of: cpu.path, qmp, deadline)
        }
    }

    private static func words(
        of path: String,
        _ qmp: QMPClient,
        _ deadline: Duration
    ) async throws -> [Register: UInt32] {
        let reply: [CPUFeatureWord] = try await qmp.execute(
            GetProperty("feature-words", of: path),
            deadline: deadline
        )
        let words = reply.map { (Register(leaf: $0.leaf, subleaf: $0.subleaf ?? 0, name: $0.register), $0.features) }
        return CPUFeatures(words: Dictionary(words) { $0 | $1 }).words
    }

    private static func features(
        of path: String,
        _ qmp: QMPClient,
        _ deadline: Duration
    ) async throws -> CPUFeatures {
        let words = try await words(of: path, qmp, deadline)
        var identity: [String: String] = [:]
        for name in CPUFeatures.numbers {
            identity[name] = "\(try await qmp.execute(GetProperty<Int>(name, of: path), deadline: deadline))"
        }
        identity["vendor"] = try await qmp.execute(GetProperty<String>("vendor", of: path), deadline: deadline)
        return CPUFeatures(words: words, identity: identity)
    }

    /// The names of all that is switched on. Takes hundreds of questions.
    static func names(asking qmp: QMPClient, deadline: Duration) async throws -> Set<String> {
        guard let path = try await qmp.execute(QueryCPUs(), deadline: deadline).first?.path else { return [] }
        var names: Set<String> = []
        // QEMU's settings of its own begin with 'x-'; with an underscore a name is another's old spelling.
        for property in try await qmp.execute(ListProperties(path: path), deadline: deadline)
        where property.type == "bool" && !property.name.hasPrefix("x-") && !property.name.contains("_") {
            let isOn = try? await qmp.execute(GetProperty<Bool>(property.name, of: path), deadline: deadline)
            if isOn == true { names.insert(property.name) }
        }
        return names
    }
}
