// What is sent: the camera, or a moving test picture with a tone where there
// is none.

/** @typedef {{stream: MediaStream, label: string, synthetic: boolean, stop: () => void}} Source */

const WIDTH = 640;
const HEIGHT = 360;
const FRAMES_PER_SECOND = 30;

/**
 * The camera; the test picture when the browser has none for us, or when
 * `giveUp` settles before the person answered the browser's question.
 * @param {Promise<void>} giveUp
 * @returns {Promise<Source>}
 */
export async function openSource(giveUp) {
  if (!navigator.mediaDevices?.getUserMedia) {
    return synthetic('test picture: browsers give cameras to https:// and localhost only');
  }
  const wish = {
    audio: true,
    video: { width: { ideal: WIDTH }, height: { ideal: HEIGHT }, frameRate: { ideal: FRAMES_PER_SECOND } },
  };
  let abandoned = false;
  const camera = navigator.mediaDevices.getUserMedia(wish)
    .catch((error) => {
      // Most often a computer with a camera and no microphone.
      if (error.name !== 'NotFoundError') throw error;
      return navigator.mediaDevices.getUserMedia({ video: wish.video });
    })
    .then((stream) => {
      if (abandoned) stop(stream);
      return stream;
    });
  try {
    const stream = await Promise.race([camera, giveUp.then(() => null)]);
    if (stream) {
      const label = stream.getVideoTracks()[0]?.label || 'camera';
      return { stream, label, synthetic: false, stop: () => stop(stream) };
    }
    abandoned = true;
    camera.catch(() => {});
    return synthetic('test picture');
  } catch (error) {
    return synthetic(`test picture: ${why(error)}`);
  }
}

function why(error) {
  switch (error.name) {
    case 'NotAllowedError': return 'the camera was not allowed';
    case 'NotFoundError': return 'there is no camera';
    case 'NotReadableError': return 'another program has the camera';
    default: return `no camera (${error.name})`;
  }
}

function stop(stream) {
  for (const track of stream.getTracks()) track.stop();
}

/** @returns {Source} */
function synthetic(label) {
  const canvas = document.createElement('canvas');
  canvas.width = WIDTH;
  canvas.height = HEIGHT;
  const pen = canvas.getContext('2d');
  let frame = 0;
  const draw = () => paint(pen, frame++);
  draw();
  // A timer and not requestAnimationFrame, which stops in a hidden tab.
  const timer = setInterval(draw, 1000 / FRAMES_PER_SECOND);
  const stream = canvas.captureStream(FRAMES_PER_SECOND);
  const audio = new AudioContext();
  const tone = audio.createOscillator();
  const volume = audio.createGain();
  volume.gain.value = 0.05;
  const sink = audio.createMediaStreamDestination();
  tone.connect(volume).connect(sink);
  tone.start();
  for (const track of sink.stream.getAudioTracks()) stream.addTrack(track);
  return {
    stream,
    label,
    synthetic: true,
    stop: () => {
      clearInterval(timer);
      audio.close();
      stop(stream);
    },
  };
}

function paint(pen, frame) {
  const bars = ['#0b6e99', '#1289b4', '#27a5cf', '#5bc0de', '#93d6e9', '#e2aa5c', '#c57b2a'];
  const width = WIDTH / bars.length;
  bars.forEach((colour, i) => {
    pen.fillStyle = colour;
    pen.fillRect(i * width, 0, width + 1, HEIGHT);
  });
  // Grain, so that the encoder has something to spend bits on.
  for (let i = 0; i < 400; i++) {
    pen.fillStyle = `rgb(255 255 255 / ${Math.random() * 0.25})`;
    pen.fillRect(Math.random() * WIDTH, Math.random() * HEIGHT, 6, 6);
  }
  const angle = (frame / FRAMES_PER_SECOND) * Math.PI * 0.5;
  pen.beginPath();
  pen.arc(WIDTH / 2 + Math.cos(angle) * 180, HEIGHT / 2 + Math.sin(angle) * 90, 36, 0, Math.PI * 2);
  pen.fillStyle = '#ffffff';
  pen.fill();
  pen.fillStyle = 'rgb(6 11 16 / 75%)';
  pen.fillRect(0, HEIGHT - 52, WIDTH, 52);
  pen.fillStyle = '#ffffff';
  pen.font = '600 22px system-ui, sans-serif';
  pen.fillText(`Forebay test picture   ${(frame / FRAMES_PER_SECOND).toFixed(1)} s`, 20, HEIGHT - 18);
}
