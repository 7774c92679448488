import GuestDefinition
import Lifecycle
import Linux
import QMP
import Varlink

extension GuestSupervisor {
    /// Who asks for numbers does not wait for a QEMU that is slow today.
    private static let metricsDeadline = Duration.seconds(1)

    func metrics() async -> GuestInterface.Metrics {
        await lookForReplacedFiles()
        let disks = await diskMetrics()
        let hardware = ledger?.hardware
        let blocks = hardware?.memoryBlocks.compactMap { inventory[Inventory.ram($0.id)] } ?? []
        let counters = ledger?.handovers.flatMap { $0.isPlausible ? $0 : nil } ?? HandoverCounters()
        return GuestInterface.Metrics(
            state: metricsState,
            generation: current?.generation ?? ledger?.generation ?? 0,
            qemuVersion: current.map { "\($0.record.version)" },
            outdated: current.map { $0.generation == outdatedGeneration } ?? false,
            firmwareOutdated: !replacedFirmware.paths.isEmpty,
            storeComplete: storeHealth.problem == nil,
            ramBytes: hardware?.memoryBlocks.reduce(0) { $0 + Int(clamping: $1.size) } ?? 0,
            ramUsedBytes: blocks.reduce(0) { $0 + Int(clamping: (try? $1.allocated()) ?? 0) },
            processBytes: current.flatMap { try? MemoryInformation.anonymous(of: $0.record.pid) }.map {
                Int(clamping: $0)
            },
            consoleBytes: (try? inventory[Inventory.consoleLog]?.size()).map { Int(clamping: $0) } ?? 0,
            lastPauseUsec: ledger?.lastPause,
            handovers: HandoverCounters.Result.allCases.map {
                GuestInterface.HandoverCount(result: $0.rawValue, count: counters[$0])
            },
            pauses: zip(HandoverCounters.bounds.map(Optional.init) + [nil], counters.pauses).map {
                GuestInterface.PauseClass(boundUsec: $0, count: $1)
            },
            pauseSumUsec: counters.pauseSum,
            disks: disks
        )
    }

    /// One word for everything that the supervisor is in the middle of: monitors know the words beforehand.
    private var metricsState: String {
        switch lifecycle.state {
        case .recovering: "recovering"
        case .operating: "operating"
        case .ended, .standing(.off): "off"
        case .standing(.running): lifecycle.isPaused ? "paused" : "running"
        case .standing(.saved), .standing(.waiting): "saved"
        case .standing(.unclear): "unclear"
        }
    }

    /// A QEMU that is being handed over is not asked: the guest would be paused for longer.
    private func diskMetrics() async -> [GuestInterface.DiskMetrics] {
        guard case .standing(.running) = lifecycle.state, let current, let disks = ledger?.hardware.disks,
            !disks.isEmpty,
            let devices = try? await current.qmp.execute(
                QueryBlockStatistics(),
                deadline: GuestSupervisor.metricsDeadline
            )
        else { return [] }
        return disks.compactMap { disk in
            guard let stats = devices.first(where: { $0.nodeName?.description == "disk.\(disk.id)" })?.stats else {
                return nil
            }
            return GuestInterface.DiskMetrics(
                disk: disk.id,
                readBytes: Int(clamping: stats.readBytes ?? 0),
                writtenBytes: Int(clamping: stats.writtenBytes ?? 0),
                reads: Int(clamping: stats.readOperations),
                writes: Int(clamping: stats.writeOperations),
                flushes: Int(clamping: stats.flushOperations),
                readNsec: Int(clamping: stats.readTime ?? 0),
                writeNsec: Int(clamping: stats.writeTime ?? 0),
                flushNsec: Int(clamping: stats.flushTime ?? 0),
                failures: Int(clamping: stats.failures)
            )
        }
    }
}
