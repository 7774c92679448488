import QMP

/// What an x86 CPU tells the guest of itself.
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

    init(words: [Register: UInt32], identity: [String: String] = [:], names: Set<String> = []) {
        // QEMUs know of different registers: what one does not know is zero there.
        self.words = words.filter { $0.value != 0 }
        self.identity = identity
        self.names = names
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

    /// Asks a QEMU for its first CPU. Nil where its kind of CPU has no CPUID.
    init?(asking qmp: QMPClient, deadline: Duration) async throws {
        guard let path = try await qmp.execute(QueryCPUs(), deadline: deadline).first?.path else { return nil }
        let reply: [CPUFeatureWord]
        do {
            reply = try await qmp.execute(GetProperty("feature-words", of: path), deadline: deadline)
        } catch QMPError.refused {
            return nil
        }
        var identity: [String: String] = [:]
        for name in CPUFeatures.numbers {
            identity[name] = "\(try await qmp.execute(GetProperty<Int>(name, of: path), deadline: deadline))"
        }
        identity["vendor"] = try await qmp.execute(GetProperty<String>("vendor", of: path), deadline: deadline)
        let words = reply.map { (Register(leaf: $0.leaf, subleaf: $0.subleaf ?? 0, name: $0.register), $0.features) }
        self.init(words: Dictionary(words) { $0 | $1 }, identity: identity)
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
