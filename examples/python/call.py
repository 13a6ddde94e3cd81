"""Plays a WAV file into a call and saves what comes back: call.py IN.wav OUT.wav [SERVER]"""
import pathlib, sys, wave
try:
    import grpc, grpc_tools
except ImportError as error:
    sys.exit(f"{error}; run: pip install -r examples/python/requirements.txt")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "proto"))
messages, services = grpc.protos_and_services("callcenter.proto")

def chunks(wav):  # as fast as the server takes them, 20 ms each
    rate, channels = wav.getframerate(), wav.getnchannels()
    while audio := wav.readframes(rate // 50):
        yield messages.AudioChunk(audio_data=audio, sample_rate=rate, channels=channels, codec="pcm")

if len(sys.argv) not in (3, 4):
    sys.exit(__doc__)
server = sys.argv[3] if len(sys.argv) == 4 else "127.0.0.1:50051"
try:
    with wave.open(sys.argv[1]) as spoken, grpc.insecure_channel(server) as channel:
        if spoken.getsampwidth() != 2:
            sys.exit(f"{sys.argv[1]}: its samples have {8 * spoken.getsampwidth()} bits, not 16")
        answers = [chunk.audio_data for chunk in services.CallCenterStub(channel).LiveCall(chunks(spoken))]
    with open(sys.argv[2], "wb") as file, wave.open(file) as heard:
        heard.setparams(spoken.getparams())
        for answer in answers:
            heard.writeframesraw(answer)
except (OSError, EOFError, wave.Error, grpc.RpcError) as error:
    words = error.details() if isinstance(error, grpc.RpcError) else error
    sys.exit(f"{sys.argv[1]} to {sys.argv[2]}: {words}")
